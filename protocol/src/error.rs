//! What can go wrong: the peer's fault, the caller's, and text that does not parse.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::{Code, UtteranceId};

/// The peer broke the protocol, or broke it off. Final: the machine accepts nothing more.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ProtocolError {
    /// A message or a run of them exceeded a limit we set.
    #[error("peer exceeded the limit on {what} ({limit})")]
    LimitExceeded {
        /// What there was too much of.
        what: &'static str,
        /// The most we take.
        limit: usize,
    },
    /// A message the session cannot do without did not parse.
    #[error("malformed `{kind}` message")]
    Malformed {
        /// The message's type on the wire.
        kind: &'static str,
        /// What was wrong with it.
        #[source]
        source: DecodeError,
    },
    /// The peer reported a fatal error of its own.
    #[error("peer reported a fatal error: {message}")]
    Peer {
        /// Our stable name for it.
        code: Code,
        /// The peer's own words.
        message: String,
    },
    /// The peer went quiet.
    #[error("no {awaited} within {limit:?}")]
    Timeout {
        /// What was due.
        awaited: Awaited,
        /// How long we waited.
        limit: Duration,
    },
    /// A well-formed message came at the wrong moment.
    #[error("received `{got}` while {state}")]
    Unexpected {
        /// The message's type on the wire.
        got: &'static str,
        /// What the machine was doing.
        state: &'static str,
    },
    /// The peer announced audio this crate cannot carry.
    #[error("peer announced unsupported audio: {what}")]
    UnsupportedAudio {
        /// The peer's own description.
        what: String,
    },
}

impl ProtocolError {
    /// A mapper for `map_err` on a message the session cannot do without.
    pub(crate) fn malformed(kind: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |source| Self::Malformed { kind, source }
    }

    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::LimitExceeded { .. } => Code::new("protocol/limit"),
            Self::Malformed { .. } => Code::new("protocol/malformed"),
            Self::Peer { code, .. } => *code,
            Self::Timeout { .. } => Code::new("protocol/timeout"),
            Self::Unexpected { .. } => Code::new("protocol/unexpected"),
            Self::UnsupportedAudio { .. } => Code::new("protocol/unsupported-audio"),
        }
    }
}

/// What a machine was waiting for when its patience ended.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Plivo: `clearedAudio`; SLNG: `cleared`.
    Cleared,
    /// The peer's close frame after ours.
    Close,
    /// AgentHuman: `connection.established` after `session.init`.
    Established,
    /// SLNG: a final transcript after `finalize`.
    Final,
    /// Plivo: the next `media` message.
    Media,
    /// SLNG: `ready` after `init`.
    Ready,
    /// Plivo: the `start` message.
    Start,
    /// SLNG: the end of an utterance after its flush.
    UtteranceEnd,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cleared => "acknowledgement of the clear",
            Self::Close => "close frame",
            Self::Established => "`connection.established`",
            Self::Final => "final transcript",
            Self::Media => "media",
            Self::Ready => "`ready`",
            Self::Start => "`start`",
            Self::UtteranceEnd => "end of the utterance",
        })
    }
}

/// The caller asked for something the current state does not allow. Not final.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CommandError {
    /// The session is over, or its end was asked for.
    #[error("session is closing or closed")]
    Closed,
    /// A field of the command cannot be sent as it is.
    #[error("{field} is {seen}; {remedy}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The value seen, shortened.
        seen: String,
        /// What to give instead.
        remedy: &'static str,
    },
    /// The stream has not started.
    #[error("stream has not started; wait for the `Started` event")]
    NotStarted,
    /// Audio that ends in the middle of a sample.
    #[error("audio of {got} bytes is not a whole number of samples")]
    PartialSample {
        /// The length given, in bytes.
        got: usize,
    },
    /// The machine's own queue has no room.
    #[error("send queue is full ({limit} {unit}); let it drain, or clear it")]
    QueueFull {
        /// How much fits.
        limit: usize,
        /// In which unit.
        unit: &'static str,
    },
    /// This speech was not taken; what was taken of its utterance before stands.
    #[error("{utterance}: {reason}")]
    Speech {
        /// Whose speech it was.
        utterance: UtteranceId,
        /// Why.
        reason: Box<Self>,
    },
    /// The vendor has an error of its own for this, so it was not sent.
    #[error("{seen}, which the vendor refuses ({code}); {remedy}")]
    WouldRefuse {
        /// The vendor's error, by our stable name.
        code: Code,
        /// What was seen.
        seen: String,
        /// What to give instead.
        remedy: &'static str,
    },
}

impl CommandError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Closed => Code::new("command/closed"),
            Self::Invalid { .. } => Code::new("command/invalid"),
            Self::NotStarted => Code::new("command/not-started"),
            Self::PartialSample { .. } => Code::new("command/partial-sample"),
            Self::QueueFull { .. } => Code::new("command/queue-full"),
            Self::Speech { reason, .. } => reason.code(),
            Self::WouldRefuse { code, .. } => *code,
        }
    }
}

/// Text from a peer that is not the JSON it should be.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} in `{excerpt}`")]
pub struct DecodeError {
    /// What the parser missed, and where, in 500 characters at most.
    pub what: String,
    /// The first characters of the text.
    pub excerpt: String,
}

impl DecodeError {
    /// Characters of the peer's text an error keeps.
    pub const EXCERPT_CHARS: usize = 80;

    pub(crate) fn new(what: impl fmt::Display, text: &str) -> Self {
        // A parser quotes what it did not expect, however long that is.
        Self { what: shortened(&what.to_string(), MAX_WORDS), excerpt: shortened(text, Self::EXCERPT_CHARS) }
    }
}

/// A peer's own words as an event or an error keeps them: a message type, an id, a reason.
pub(crate) fn words(text: &str) -> String {
    shortened(text, MAX_WORDS)
}

fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Longer than any type, id or reason a vendor writes.
const MAX_WORDS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_at_a_character() {
        let error = DecodeError::new("nothing", &"é".repeat(200));
        assert_eq!(error.excerpt.chars().count(), DecodeError::EXCERPT_CHARS + 1);
        assert!(error.excerpt.ends_with("é…"));
    }

    #[test]
    fn what_a_parser_quotes_is_cut_too() {
        let text = format!(r#"{{"event":"media","media":"{}"}}"#, "x".repeat(60_000));
        let error = crate::plivo::StreamInfo::from_start(&text).unwrap_err();
        let shown = format!("{error:?}");
        assert!(shown.len() < 1_000, "{} bytes", shown.len());
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<ProtocolError>() <= 64, "{}", size_of::<ProtocolError>());
        assert!(size_of::<CommandError>() <= 64, "{}", size_of::<CommandError>());
    }
}
