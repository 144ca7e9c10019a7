//! The service's error texts as causes, and what to do about each.

use std::fmt;

use thiserror::Error;

use crate::error::words;
use crate::{Code, CommandError, ProtocolError};

/// One of the service's own errors, recognised by its text: it sends no codes.
///
/// ```
/// use voxline_protocol::agenthuman::VendorError;
///
/// let error = VendorError::parse("Failed to process audio: odd length");
/// assert_eq!(error, VendorError::AudioProcessingFailed { detail: "odd length".into() });
/// assert_eq!(error.code().as_str(), "agenthuman/audio-processing");
/// assert_eq!(error.to_string(), "Failed to process audio: odd length");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VendorError {
    /// `First message must be session.init`.
    InitRequired,
    /// `Invalid room platform`.
    InvalidRoomPlatform,
    /// `Invalid video dimensions`.
    InvalidVideoDimensions,
    /// `Invalid aspect ratio`.
    InvalidAspectRatio,
    /// `Invalid session id - server not assigned or session id mismatch`.
    ServerMismatch,
    /// `Failed to fetch video path`.
    SessionConfigUnavailable,
    /// `Session not found`.
    SessionNotFound,
    /// `Invalid JSON format`.
    InvalidJson,
    /// `No audio data provided`.
    NoAudioData,
    /// `Failed to process audio: …`.
    AudioProcessingFailed {
        /// What follows the colon.
        detail: String,
    },
    /// `Unknown message type: …`.
    UnknownMessageType {
        /// What follows the colon.
        kind: String,
    },
    /// `Invalid session configuration`, named in the troubleshooting text only.
    InvalidSessionConfiguration,
    /// A text nobody documented.
    Other {
        /// The text.
        text: String,
    },
}

/// What mends a link that the service refused or dropped.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// Nothing: the session is over, and this is the machine's last word.
    GiveUp,
    /// Create a new session, hand it over with `UseSession`, then dial.
    NewSession,
    /// Dial the same session again, after the usual backoff.
    Redial,
    /// Ask the REST service to start the same session again and dial the address it returns.
    ///
    /// Revision B has no such call: there, read the session's state and dial the same address.
    StartAgain,
}

impl VendorError {
    /// Recognises a text: white space, case and the kind of dash do not matter.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = &words(text.trim());
        let plain = normalise(text);
        if let Some((_, error)) = EXACT.iter().find(|(known, _)| normalise(known) == plain) {
            return error.clone();
        }
        let tail = |prefix: &str| {
            let known = normalise(prefix);
            plain.starts_with(&known).then(|| {
                let after = text.split_once(':').map_or("", |(_, tail)| tail);
                after.trim().to_owned()
            })
        };
        if let Some(detail) = tail(AUDIO_PREFIX) {
            return Self::AudioProcessingFailed { detail };
        }
        if let Some(kind) = tail(TYPE_PREFIX) {
            return Self::UnknownMessageType { kind };
        }
        Self::Other { text: text.to_owned() }
    }

    /// The stable name.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new(match self {
            Self::InitRequired => "agenthuman/init-required",
            Self::InvalidRoomPlatform => "agenthuman/room-platform",
            Self::InvalidVideoDimensions => "agenthuman/video-dimensions",
            Self::InvalidAspectRatio => "agenthuman/aspect-ratio",
            Self::ServerMismatch => "agenthuman/server-mismatch",
            Self::SessionConfigUnavailable => "agenthuman/session-config",
            Self::SessionNotFound => "agenthuman/session-not-found",
            Self::InvalidJson => "agenthuman/invalid-json",
            Self::NoAudioData => "agenthuman/no-audio",
            Self::AudioProcessingFailed { .. } => "agenthuman/audio-processing",
            Self::UnknownMessageType { .. } => "agenthuman/unknown-message-type",
            Self::InvalidSessionConfiguration => "agenthuman/session-configuration",
            Self::Other { .. } => "agenthuman/unknown-error",
        })
    }

    /// What to do when the service answered `session.init` with this, for the `attempt`-th time in
    /// a row without an established link between (the first is 1). Every road ends in
    /// [`Recovery::GiveUp`].
    #[must_use]
    pub const fn recovery(&self, attempt: u32) -> Recovery {
        match (self, attempt) {
            (Self::InitRequired, 1) | (Self::SessionNotFound, 1) | (Self::Other { .. }, 1..=MAX_ATTEMPTS) => {
                Recovery::Redial
            }
            (Self::SessionNotFound | Self::InvalidSessionConfiguration, 1..=MAX_ATTEMPTS) => {
                Recovery::NewSession
            }
            (Self::ServerMismatch | Self::SessionConfigUnavailable, 1..=MAX_ATTEMPTS) => Recovery::StartAgain,
            (
                Self::InitRequired
                | Self::InvalidRoomPlatform
                | Self::InvalidVideoDimensions
                | Self::InvalidAspectRatio
                | Self::ServerMismatch
                | Self::SessionConfigUnavailable
                | Self::SessionNotFound
                | Self::InvalidJson
                | Self::NoAudioData
                | Self::AudioProcessingFailed { .. }
                | Self::UnknownMessageType { .. }
                | Self::InvalidSessionConfiguration
                | Self::Other { .. },
                _,
            ) => Recovery::GiveUp,
        }
    }

    /// Whether this says that the session, not one message, is in trouble.
    pub(super) const fn ends_link(&self) -> bool {
        match self {
            Self::InitRequired
            | Self::ServerMismatch
            | Self::SessionConfigUnavailable
            | Self::SessionNotFound
            | Self::InvalidSessionConfiguration => true,
            Self::InvalidRoomPlatform
            | Self::InvalidVideoDimensions
            | Self::InvalidAspectRatio
            | Self::InvalidJson
            | Self::NoAudioData
            | Self::AudioProcessingFailed { .. }
            | Self::UnknownMessageType { .. }
            | Self::Other { .. } => false,
        }
    }

    pub(super) fn into_fatal(self) -> ProtocolError {
        ProtocolError::Peer { code: self.code(), message: self.to_string() }
    }
}

impl fmt::Display for VendorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AudioProcessingFailed { detail } => write!(f, "{AUDIO_PREFIX} {detail}"),
            Self::UnknownMessageType { kind } => write!(f, "{TYPE_PREFIX} {kind}"),
            Self::Other { text } => f.write_str(text),
            Self::InitRequired
            | Self::InvalidRoomPlatform
            | Self::InvalidVideoDimensions
            | Self::InvalidAspectRatio
            | Self::ServerMismatch
            | Self::SessionConfigUnavailable
            | Self::SessionNotFound
            | Self::InvalidJson
            | Self::NoAudioData
            | Self::InvalidSessionConfiguration => {
                let text = EXACT.iter().find(|(_, error)| error == self).map_or("", |(text, _)| *text);
                f.write_str(text)
            }
        }
    }
}

/// Something the service would refuse, found before it was sent.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{seen}: the service would answer `{error}`; {remedy}")]
pub struct Refusal {
    /// The service's own error.
    pub error: VendorError,
    /// What was seen.
    pub seen: String,
    /// What to give instead.
    pub remedy: &'static str,
}

impl Refusal {
    pub(super) fn new(error: VendorError, seen: impl Into<String>, remedy: &'static str) -> Self {
        Self { error, seen: seen.into(), remedy }
    }

    /// The stable name.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.error.code()
    }
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        Self::WouldRefuse { code: refusal.error.code(), seen: refusal.seen, remedy: refusal.remedy }
    }
}

fn normalise(text: &str) -> String {
    let dash = |c: char| if matches!(c, '‐' | '‑' | '‒' | '–' | '—' | '−') { '-' } else { c };
    text.chars().map(dash).flat_map(char::to_lowercase).collect()
}

/// How often one trouble is retried in a row.
const MAX_ATTEMPTS: u32 = 3;
const AUDIO_PREFIX: &str = "Failed to process audio:";
const TYPE_PREFIX: &str = "Unknown message type:";

/// AgentHuman, Best Practices, error reference; the last is from its troubleshooting section.
static EXACT: [(&str, VendorError); 10] = [
    ("First message must be session.init", VendorError::InitRequired),
    ("Invalid room platform", VendorError::InvalidRoomPlatform),
    ("Invalid video dimensions", VendorError::InvalidVideoDimensions),
    ("Invalid aspect ratio", VendorError::InvalidAspectRatio),
    ("Invalid session id - server not assigned or session id mismatch", VendorError::ServerMismatch),
    ("Failed to fetch video path", VendorError::SessionConfigUnavailable),
    ("Session not found", VendorError::SessionNotFound),
    ("Invalid JSON format", VendorError::InvalidJson),
    ("No audio data provided", VendorError::NoAudioData),
    ("Invalid session configuration", VendorError::InvalidSessionConfiguration),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_recognised_however_it_is_dressed() {
        for text in [
            "Invalid session id - server not assigned or session id mismatch",
            "invalid session ID – server not assigned or session id mismatch",
            "  Invalid Session Id — server not assigned or session id mismatch\n",
        ] {
            assert_eq!(VendorError::parse(text), VendorError::ServerMismatch, "{text}");
        }
        assert_eq!(
            VendorError::parse("unknown message type: ping"),
            VendorError::UnknownMessageType { kind: "ping".into() }
        );
        assert_eq!(VendorError::parse("GPU on fire"), VendorError::Other { text: "GPU on fire".into() });
    }

    #[test]
    fn each_text_survives_the_round_trip_and_has_a_page() {
        let texts = EXACT.iter().map(|(text, _)| (*text).to_owned());
        let prefixed = [AUDIO_PREFIX, TYPE_PREFIX].map(|prefix| format!("{prefix} x"));
        for text in texts.chain(prefixed) {
            let error = VendorError::parse(&text);
            assert_eq!(error.to_string(), text);
            assert!(!matches!(error, VendorError::Other { .. }), "{text}");
            assert!(error.code().entry().is_some(), "{text}");
        }
        assert!(VendorError::parse("?").code().entry().is_some());
    }

    #[test]
    fn every_road_ends() {
        for (_, error) in &EXACT {
            assert_eq!(error.recovery(MAX_ATTEMPTS + 1), Recovery::GiveUp, "{error}");
        }
    }
}
