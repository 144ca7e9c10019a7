//! What a client tells of speech: each piece that was confirmed, and how each utterance ended.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::UtteranceId;
use crate::agenthuman::{InputRate, VendorError};

/// One confirmed piece of speech.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkReceipt {
    /// Whose speech it is.
    pub utterance: UtteranceId,
    /// Where it stands in its utterance, in samples of the input rate, filling silence excluded.
    pub samples: Range<u64>,
    /// From the moment the message was handed to the link until its confirmation.
    pub queueing: Duration,
    /// How many samples the service had to confirm, at 16 kHz.
    pub expected: u64,
    /// How many it confirmed; `None` if it did not say.
    pub confirmed: Option<u64>,
    /// When the avatar begins to say it, by estimate.
    pub plays_from: Instant,
    /// When the avatar has said it, by estimate.
    pub plays_until: Instant,
}

impl ChunkReceipt {
    /// Whether the service took the audio for what it is: its count is what the conversion gives.
    #[must_use]
    pub const fn is_plausible(&self, rate: InputRate) -> bool {
        match self.confirmed {
            Some(confirmed) => {
                let ours = self.expected * rate.sample_rate().hz() as u64 / 16_000;
                rate.is_plausible(ours, confirmed)
            }
            None => true,
        }
    }
}

/// The one account every utterance gets, when nothing more will happen to it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechReport {
    /// Whose account.
    pub utterance: UtteranceId,
    /// How it ended.
    pub end: SpeechEnd,
    /// Samples handed over, at the input rate.
    pub given: u64,
    /// The first sample, counted from the start, that the service did not confirm.
    pub confirmed_until: u64,
    /// Messages it went out in, repeats not counted.
    pub chunks: u32,
    /// From the first message handed to the link until the last confirmation.
    pub queueing: Duration,
    /// The longest wait for one confirmation.
    pub slowest: Duration,
    /// When the avatar has said what was confirmed, by estimate; `None` if nothing was.
    pub plays_until: Option<Instant>,
}

/// How an utterance ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeechEnd {
    /// All of it is confirmed.
    Confirmed,
    /// An interruption dropped the rest.
    Interrupted,
    /// The service refused a piece of it; the rest was sent.
    Refused(VendorError),
    /// The session ended before all of it was confirmed.
    SessionOver,
    /// A piece of it was never confirmed on a living link.
    Unconfirmed,
}
