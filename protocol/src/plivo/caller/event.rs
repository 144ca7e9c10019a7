//! What a simulated caller does, and what happens to it.

use std::time::Duration;

use bytes::Bytes;

use super::super::types::{CheckpointName, DegradedLevel, Digit};
use crate::{CloseFrame, Code, DecodeError};

/// What a [`PlivoCaller`](super::PlivoCaller) can be asked.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerCommand {
    /// The caller hangs up.
    HangUp,
    /// The caller presses a key.
    Press(Digit),
    /// The caller's microphone delivers this, in the stream's format, from the next frame on; then silence.
    Speak(Bytes),
}

/// What a [`PlivoCaller`](super::PlivoCaller) tells.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerEvent {
    /// The queue was cleared.
    Cleared {
        /// Audio that will not be heard.
        dropped: Duration,
        /// False if Plivo did it on its own.
        asked: bool,
    },
    /// Always the last event.
    Closed,
    /// What the caller heard for 20 ms: one event for each frame of the call, in order.
    Ear(EarFrame),
    /// A message that did not parse.
    Garbled {
        /// What was wrong.
        error: DecodeError,
    },
    /// The link is gone, and with it all that was queued.
    LinkLost(Option<CloseFrame>),
    /// All audio before this mark was heard.
    Reached(CheckpointName),
    /// Dial again, and feed `Opened`, or `Closed` if that fails.
    Redial {
        /// 1 or 2.
        attempt: u32,
        /// How long to wait first.
        after: Duration,
    },
    /// The server sent what Plivo does not take; the debug log would show it.
    Rejected {
        /// Plivo's error.
        code: Code,
        /// What was seen.
        detail: String,
    },
    /// `start` was sent.
    Started,
    /// A status callback is due.
    Status(StreamStatus),
    /// The server sent key tones.
    Tones(Vec<Digit>),
    /// The server sent a message Plivo does not know.
    Unhandled {
        /// Its type.
        kind: String,
    },
}

/// 20 ms at the caller's ear.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarFrame {
    /// When it began, since the first link opened.
    pub at: Duration,
    /// The sound, in the stream's format.
    pub audio: Bytes,
    /// How many of its bytes were played; the rest is silence because the queue was empty.
    pub played: usize,
}

/// What a status callback reports.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStatus {
    /// The server reads too slowly.
    Degraded(DegradedLevel),
    /// The stream broke off.
    Dropped(DropReason),
    /// The stream has begun.
    Started,
    /// The stream ended as it should.
    Stopped,
}

/// Why a stream broke off.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// It never connected.
    Initiation,
    /// The link broke, and dialling again did not help.
    Streaming,
    /// The server read so slowly that the buffer filled up.
    TooSlow,
}
