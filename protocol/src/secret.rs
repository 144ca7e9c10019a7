//! Keys that cannot be printed by accident.

use std::fmt;
use std::hint::black_box;

use thiserror::Error;

/// A key, checked where it is given and shown nowhere.
///
/// It has no `Display`, and its `Debug` hides the text. White space around it is trimmed; what
/// could not travel in a header is refused here rather than at the first request.
///
/// ```
/// use voxline_protocol::Secret;
///
/// let key = Secret::new(" slng_cu_123\n")?;
/// assert_eq!(key.expose(), "slng_cu_123");
/// assert_eq!(format!("{key:?}"), "Secret(..)");
/// assert!(Secret::new("two\nlines").is_err());
/// # Ok::<(), voxline_protocol::SecretError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The longest key taken, in bytes: no server takes a header much longer.
    pub const MAX_BYTES: usize = 8_192;

    /// Trims and checks `text`.
    ///
    /// # Errors
    /// Nothing is left after trimming, a character is not printable ASCII, or there are more than
    /// [`MAX_BYTES`](Self::MAX_BYTES) of them. The error names the character's place and number, never the key.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(SecretError::TooLong { bytes: text.len() });
        }
        match text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            Some((at, c)) => Err(SecretError::Character { at, number: u32::from(c) }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// Whether `given` is this key, told in a time that says nothing about where they differ.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        let (ours, given) = (self.0.as_bytes(), given.as_bytes());
        let differing = ours.iter().zip(given).fold(0, |all, (our, their)| black_box(all | (our ^ their)));
        ours.len() == given.len() && differing == 0
    }

    /// The key itself, for the line that puts it on the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A key that cannot be used as it was given.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecretError {
    /// A character that is not printable ASCII: a newline in the middle, a zero-width space, a quote from a web page.
    #[error(
        "key holds character U+{number:04X} at byte {at}; copy it again without white space or invisible characters"
    )]
    Character {
        /// Byte offset in the trimmed key.
        at: usize,
        /// The character's Unicode number.
        number: u32,
    },
    /// Nothing but white space.
    #[error("key is empty; is the environment variable set?")]
    Empty,
    /// More than [`Secret::MAX_BYTES`].
    #[error("key of {bytes} bytes is longer than {}; is it a whole file?", Secret::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}
