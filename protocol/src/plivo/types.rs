//! The words of a Plivo stream: ids, tracks, digits, formats, and what a stream says about itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use voxline_audio::{AudioFormat, Encoding, SampleRate};

use crate::{Code, CommandError, DecodeError, LinkLife};

use super::wire;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A call, `CallUUID` in webhooks and REST. Opaque.
    CallId
);
name!(
    /// One stream of a call, `StreamID` in callbacks. Opaque.
    StreamId
);
name!(
    /// A mark in the queue of audio, as named by the application. On the wire it gets a running
    /// number, so that an acknowledgement of an earlier mark of the same name is never taken for it.
    CheckpointName
);

/// What a stream's `start` message says.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// The call, equal to `CallUUID` of the answer webhook.
    pub call_id: CallId,
    /// This stream of it.
    pub stream_id: StreamId,
    /// What both directions carry.
    pub format: AudioFormat,
    /// Whose audio arrives. Empty if the peer did not say.
    pub tracks: Vec<Track>,
    /// `extra_headers`, as written; see [`header`](Self::header).
    pub headers: Vec<(String, String)>,
    /// Which link of the call this is: [`LinkLife::FIRST`], or a later one after a redial.
    pub life: LinkLife,
}

impl StreamInfo {
    /// Reads a `start` message: what a listener needs to give a redialled link to the call's machine.
    ///
    /// # Errors
    /// The text is no `start` message with a call, a stream and a format.
    pub fn from_start(text: &str) -> Result<Self, StartError> {
        let start = wire::read_start(text).map_err(StartError::Malformed)?;
        Self::from_wire(start, LinkLife::FIRST)
    }

    pub(super) fn from_wire(start: wire::Start, life: LinkLife) -> Result<Self, StartError> {
        let format = wire::read_format(&start.encoding, start.sample_rate)
            .ok_or_else(|| StartError::UnsupportedAudio { what: start.describe_format() })?;
        Ok(Self {
            call_id: start.call_id.into(),
            stream_id: start.stream_id.into(),
            format,
            tracks: start.tracks,
            headers: start.headers,
            life,
        })
    }

    /// The value of an extra header, found with or without Plivo's `X-PH-` prefix, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let bare = |name: &str| match name.get(..5) {
            Some(prefix) if prefix.eq_ignore_ascii_case("X-PH-") => name[5..].to_owned(),
            _ => name.to_owned(),
        };
        let wanted = bare(name);
        let found = self.headers.iter().find(|(key, _)| bare(key).eq_ignore_ascii_case(&wanted));
        found.map(|(_, value)| value.as_str())
    }

    /// Compares `format` with the stream's before any of it is sent.
    ///
    /// # Errors
    /// They differ: Plivo would answer `invalid_content_type`, and so do we, without asking it.
    pub fn check_format(&self, format: AudioFormat) -> Result<(), CommandError> {
        if format == self.format {
            return Ok(());
        }
        Err(CommandError::WouldRefuse {
            code: Code::new("plivo/invalid-content-type"),
            seen: format!("audio is {format} in a stream of {}", self.format),
            remedy: "convert it first",
        })
    }
}

/// A `start` message that cannot begin a stream.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It did not parse, or lacks the call, the stream or the format.
    #[error("malformed `start`")]
    Malformed(#[source] DecodeError),
    /// It announces audio this library cannot carry.
    #[error("unsupported audio: {what}")]
    UnsupportedAudio {
        /// The peer's own words.
        what: String,
    },
}

/// One run of caller audio, still in wire encoding.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Whose audio it is.
    pub track: Track,
    /// Position among all messages of the link, if the peer counts.
    pub sequence: Option<u64>,
    /// The peer's clock. Only differences mean anything.
    pub timestamp: Option<Duration>,
    /// Whole samples.
    pub payload: Bytes,
}

/// Whose audio.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// What Plivo receives from the person on the phone.
    Inbound,
    /// What Plivo sends to that person.
    Outbound,
}

impl Track {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|track| track.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key of a telephone: `0`–`9`, `*`, `#`, `A`–`D`.
///
/// ```
/// use voxline_protocol::plivo::Digit;
///
/// let digits = Digit::parse_all("12#")?;
/// assert_eq!(digits.len(), 3);
/// assert!(Digit::parse_all("1w2").is_err());
/// # Ok::<(), voxline_protocol::CommandError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The key `c`; lower-case letters are taken as upper-case.
    #[must_use]
    pub const fn new(c: char) -> Option<Self> {
        match c.to_ascii_uppercase() {
            c @ ('0'..='9' | '*' | '#' | 'A'..='D') => Some(Self(c as u8)),
            _ => None,
        }
    }

    /// Every key of `text`.
    ///
    /// # Errors
    /// A character that is no key.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, CommandError> {
        text.chars().map(Self::new).collect::<Option<_>>().ok_or_else(|| CommandError::Invalid {
            field: "dtmf",
            seen: text.chars().take(32).collect(),
            remedy: "use only 0-9, *, #, A-D",
        })
    }

    /// The key as a character.
    #[must_use]
    pub const fn as_char(self) -> char {
        self.0 as char
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// How full Plivo's 40 s buffer towards us is, as `DegradedStream` tells.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DegradedLevel {
    /// 30 %: 12 s behind.
    Thirty,
    /// 60 %: 24 s behind.
    Sixty,
    /// 90 %: 36 s behind; Plivo cuts the link at 40 s.
    Ninety,
}

impl DegradedLevel {
    /// Every level, lowest first.
    pub const ALL: [Self; 3] = [Self::Thirty, Self::Sixty, Self::Ninety];

    /// The level in percent.
    #[must_use]
    pub const fn percent(self) -> u32 {
        match self {
            Self::Thirty => 30,
            Self::Sixty => 60,
            Self::Ninety => 90,
        }
    }
}

/// The four formats of a Plivo stream, safest first.
pub const FORMATS: [AudioFormat; 4] = [
    AudioFormat::PHONE,
    AudioFormat::linear16(SampleRate::Hz8000),
    AudioFormat::linear16(SampleRate::Hz16000),
    AudioFormat::linear16(SampleRate::Hz24000),
];

/// The bare MIME type of `encoding` in messages, without a rate. `None` for A-law, which Plivo does not speak.
///
/// `audio/x-l16` is little-endian here, against RFC 2586: every implementation of this protocol is.
pub(super) const fn mime(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::MuLaw => Some("audio/x-mulaw"),
        Encoding::Linear16Le => Some("audio/x-l16"),
        Encoding::ALaw | _ => None,
    }
}
