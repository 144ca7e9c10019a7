//! What an avatar client is configured with, asked, and tells.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::agenthuman::{
    AvatarSession, ChunkReceipt, ChunkSizes, InputRate, Recovery, SpeechReport, VendorError,
};
use crate::{CloseFrame, DecodeError, Epoch, LinkLife, UtteranceId};

/// How an [`AvatarClient`](super::AvatarClient) works.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct AvatarClientConfig {
    /// The session to initialise; a later one comes with [`AvatarCommand::UseSession`].
    pub session: AvatarSession,
    /// The rate of the speech handed over. Default 16 kHz.
    pub rate: InputRate,
    /// How much speech one message carries.
    pub chunks: ChunkSizes,
    /// The largest message sent, in bytes. Default 10 MB, the smaller of the two revisions' limits.
    pub max_message_bytes: usize,
    /// The most speech held unsent, before the link is ready and while the avatar is busy. Default
    /// 2 minutes; beyond it a command is refused, never dropped silently.
    pub max_unsent: Duration,
    /// How far speech may be sent ahead of the avatar's mouth. Default 30 s. More costs bandwidth
    /// for what an interruption throws away; less than one message's length stalls on slow links.
    pub max_ahead: Duration,
    /// How long `connection.established` may take. Default 15 s.
    pub establish_timeout: Duration,
    /// How long a confirmation may take beyond the upload itself. Default 10 s.
    pub confirm_timeout: Duration,
    /// How long the acknowledgement of an interruption may take; new speech waits for it. Default 2 s.
    pub interrupt_timeout: Duration,
    /// How long the peer may take to close after we did. Default 2 s.
    pub close_timeout: Duration,
    /// How long before the session's expiry [`AvatarEvent::Expiring`] warns. Default 60 s.
    pub expiry_warning: Duration,
    /// The slowest uplink that is not yet called a silent service, in bytes a second. Default
    /// 125,000 (1 Mbit/s, what 48 kHz speech needs in real time).
    pub min_uplink: u32,
}

impl AvatarClientConfig {
    /// The defaults for `session`.
    #[must_use]
    pub fn new(session: AvatarSession) -> Self {
        Self {
            session,
            rate: InputRate::default(),
            chunks: ChunkSizes::default(),
            max_message_bytes: 10_000_000,
            max_unsent: Duration::from_secs(120),
            max_ahead: Duration::from_secs(30),
            establish_timeout: Duration::from_secs(15),
            confirm_timeout: Duration::from_secs(10),
            interrupt_timeout: Duration::from_secs(2),
            close_timeout: Duration::from_secs(2),
            expiry_warning: Duration::from_secs(60),
            min_uplink: 125_000,
        }
    }

    /// The same with speech at `rate`.
    #[must_use]
    pub fn with_rate(self, rate: InputRate) -> Self {
        Self { rate, ..self }
    }
}

/// What the application may ask. There is no ping: the service does not know one.
///
/// Utterances are numbered upwards by the application. Speech for one that is over is refused, so
/// what a producer still makes after a barge-in cannot be spoken by mistake.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AvatarCommand {
    /// End the session's link for good. Speech not yet confirmed is reported as lost.
    Close,
    /// The utterance has no more speech.
    Finish {
        /// Which one.
        utterance: UtteranceId,
    },
    /// Stop speaking now and drop everything: a barge-in.
    Interrupt,
    /// Speech that is all there: one whole utterance.
    Say {
        /// Its number, higher than any before.
        utterance: UtteranceId,
        /// Raw 16-bit little-endian mono samples.
        audio: Bytes,
    },
    /// More speech of an utterance that is still being made. A higher number finishes the one before.
    Speak {
        /// Its number.
        utterance: UtteranceId,
        /// Raw 16-bit little-endian mono samples, any length.
        audio: Bytes,
    },
    /// Use this session from the next link on. A living link to the old one is closed.
    UseSession(Box<AvatarSession>),
}

/// What the application is told.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum AvatarEvent {
    /// A piece of speech was confirmed.
    Chunk(ChunkReceipt),
    /// A piece of speech was refused; the rest of its utterance goes on.
    ChunkRefused {
        /// Whose speech it was.
        utterance: UtteranceId,
        /// Where it stood, in samples of the input rate.
        samples: Range<u64>,
        /// Why.
        error: VendorError,
    },
    /// A piece of speech was given up without an answer: in the time a living link had for it, or on
    /// five links that died (`agenthuman/confirm-timeout`).
    ChunkUnconfirmed {
        /// Whose speech it was.
        utterance: UtteranceId,
        /// Where it stood, in samples of the input rate.
        samples: Range<u64>,
    },
    /// The machine is done. Always the last event.
    Closed,
    /// The service accepted the session; speech flows from here on. It does not say that the avatar
    /// is in the room yet.
    Established {
        /// Which link of this machine.
        link: LinkLife,
        /// How long the service took.
        took: Duration,
    },
    /// The session will end soon by itself.
    Expiring {
        /// How long it has.
        left: Duration,
    },
    /// A message that does not parse; counted, and too many of them are fatal.
    Garbled(DecodeError),
    /// An interruption is over; speech of a new utterance may follow.
    Interrupted {
        /// The epoch it began.
        epoch: Epoch,
        /// What the service said to it.
        outcome: InterruptOutcome,
        /// How far each utterance that was cut off had been said.
        heard: Vec<Heard>,
    },
    /// The link is gone or no longer used. Speech without a confirmation is kept for the next one.
    LinkDown {
        /// Which link it was.
        link: LinkLife,
        /// Why.
        end: LinkEnd,
        /// What to do before the next one.
        recovery: Recovery,
        /// Confirmed speech the avatar had not said yet, by estimate. It is lost if the service
        /// ends the session with the link, as revision B does.
        unplayed: Duration,
    },
    /// The service confirmed a number of samples that the audio cannot have
    /// (`agenthuman/sample-count`); the receipt follows.
    SampleCount {
        /// Whose speech it is.
        utterance: UtteranceId,
        /// What it had to be, at 16 kHz.
        expected: u64,
        /// What was confirmed.
        confirmed: u64,
    },
    /// The service reported an error that ends neither a piece of speech nor the link.
    ServiceError(VendorError),
    /// An utterance is over: exactly one for each.
    Speech(SpeechReport),
    /// A message of a type this version does not know, or one answer too many. Harmless.
    Unhandled {
        /// Its type on the wire, `binary` for a binary message.
        kind: String,
    },
}

/// What the service said to an interruption.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptOutcome {
    /// It stopped.
    Acknowledged,
    /// Nothing of ours could be playing, so it was not asked.
    NotNeeded,
    /// It did not answer in time or did not understand.
    Unacknowledged,
}

/// How much of an utterance was said when it was interrupted.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Which one.
    pub utterance: UtteranceId,
    /// At least this much, counted from its start.
    pub at_least: Duration,
    /// At most this much.
    pub at_most: Duration,
}

/// Why a link ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEnd {
    /// The link closed, with the peer's close frame if it sent one.
    Closed(Option<CloseFrame>),
    /// `connection.established` did not come in time.
    EstablishTimeout,
    /// The session reached its expiry.
    Expired,
    /// The service refused the session.
    Refused(VendorError),
    /// A new session takes its place.
    Replaced,
}

/// The instants an event is measured between.
pub(super) fn since(earlier: Option<Instant>, now: Instant) -> Duration {
    earlier.map_or(Duration::ZERO, |earlier| now.saturating_duration_since(earlier))
}
