//! The ways Plivo, or what stands between, is known to differ from its documents.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

macro_rules! quirks {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One attested way in which Plivo's side may differ, as a switch of a [`PlivoCaller`](super::PlivoCaller).
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum PlivoQuirk {
            $($(#[$doc])* $name,)*
        }

        impl PlivoQuirk {
            /// Every quirk, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name on a command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

quirks! {
    /// The link ends without a close frame's normal code when the call ends.
    AbruptClose = "abrupt-close",
    /// No `playedStream` at all.
    AcksLost = "acks-lost",
    /// `start` holds a call, a stream and a format, and nothing else.
    BareStart = "bare-start",
    /// `clearAudio` is obeyed and never answered.
    ClearUnanswered = "clear-unanswered",
    /// `playAudio` is answered by an `error` message now and then.
    ErrorEvents = "error-events",
    /// `/` in base64 comes as `\/`.
    EscapedSlashes = "escaped-slashes",
    /// The first mark's `playedStream` is lost.
    FirstAckLost = "first-ack-lost",
    /// `extra_headers` as `k=v,k2=v2`.
    HeadersCommas = "headers-commas",
    /// `extra_headers` as JSON in a string.
    HeadersJson = "headers-json",
    /// `extra_headers` as `k=v;k2=v2`.
    HeadersSemicolons = "headers-semicolons",
    /// Marks swallowed by a clear are acknowledged all the same, late.
    LateAcks = "late-acks",
    /// Media comes in bunches of five.
    LateMedia = "late-media",
    /// Three media messages in a hundred are missing.
    LostMedia = "lost-media",
    /// Events in unexpected case.
    LowerCaseEvents = "lower-case-events",
    /// `muteStream` and `unmuteStream` now and then.
    MuteEvents = "mute-events",
    /// No `sequenceNumber`.
    NoSequence = "no-sequence",
    /// Numbers as strings, and strings as numbers.
    NumbersSwapped = "numbers-swapped",
    /// `played` instead of `playedStream`.
    PlayedAlias = "played-alias",
    /// The link breaks every few seconds, and Plivo dials again.
    Redials = "redials",
    /// Every status callback twice.
    RepeatedCallbacks = "repeated-callbacks",
    /// `start` twice on a link.
    RepeatedStart = "repeated-start",
    /// Status callbacks by the second naming scheme.
    SchemeB = "scheme-b",
    /// `sequenceNumber` from 0.
    SequenceFromZero = "sequence-from-zero",
    /// A `stop` message before the close.
    StopEvent = "stop-event",
    /// Message types nobody knows.
    UnknownEvents = "unknown-events",
    /// Base64 without padding.
    Unpadded = "unpadded",
    /// What is queued is dropped now and then, with a `clearedAudio` nobody asked for.
    UnsolicitedClear = "unsolicited-clear",
}

impl fmt::Display for PlivoQuirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PlivoQuirk {
    type Err = UnknownQuirk;

    fn from_str(name: &str) -> Result<Self, UnknownQuirk> {
        Self::ALL
            .iter()
            .copied()
            .find(|quirk| quirk.as_str() == name)
            .ok_or_else(|| UnknownQuirk { name: name.to_owned() })
    }
}

/// A name that is no quirk's.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no Plivo quirk is called `{name}`; there are {}", list())]
pub struct UnknownQuirk {
    /// What was asked for.
    pub name: String,
}

fn list() -> String {
    PlivoQuirk::ALL.iter().map(|quirk| quirk.as_str()).collect::<Vec<_>>().join(", ")
}
