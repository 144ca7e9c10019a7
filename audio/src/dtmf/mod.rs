//! The sixteen key signals of a telephone, heard and made (ITU-T Q.23 and Q.24).

mod detector;
mod generator;
mod spectrum;

pub use detector::{DtmfDetector, DtmfEvent};
pub use generator::DtmfGenerator;

use core::fmt;

/// One key: `0` to `9`, `*`, `#`, `A` to `D`.
///
/// ```
/// use voxline_audio::Digit;
///
/// let digit = Digit::try_from('#')?;
/// assert_eq!(digit.frequencies_hz(), (941.0, 1477.0));
/// assert_eq!(digit.to_string(), "#");
/// # Ok::<(), voxline_audio::UnsupportedDigit>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit {
    row: u8,
    column: u8,
}

impl Digit {
    /// Every key, row by row.
    pub const ALL: [Self; 16] = {
        let mut all = [Self { row: 0, column: 0 }; 16];
        let mut index = 0;
        while index < 16 {
            all[index] = Self { row: index as u8 / 4, column: index as u8 % 4 };
            index += 1;
        }
        all
    };

    /// What is printed on the key.
    #[must_use]
    pub const fn as_char(self) -> char {
        KEYS[self.row as usize][self.column as usize]
    }

    /// The frequencies of its two tones: the row's, then the column's.
    #[must_use]
    pub const fn frequencies_hz(self) -> (f32, f32) {
        (ROWS_HZ[self.row as usize], COLUMNS_HZ[self.column as usize])
    }
}

impl TryFrom<char> for Digit {
    type Error = UnsupportedDigit;

    /// Lower-case letters are taken too.
    fn try_from(key: char) -> Result<Self, UnsupportedDigit> {
        let found = Self::ALL.into_iter().find(|digit| digit.as_char() == key.to_ascii_uppercase());
        found.ok_or(UnsupportedDigit { key })
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// A character that is on no telephone key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedDigit {
    /// The character that was given.
    pub key: char,
}

impl fmt::Display for UnsupportedDigit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no telephone key; use 0 to 9, *, #, A to D", self.key)
    }
}

impl core::error::Error for UnsupportedDigit {}

const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// The low group (Q.23, section 3).
const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];

/// The high group.
const COLUMNS_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
