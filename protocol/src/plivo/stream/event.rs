//! What the application asks of a phone stream, and what it is told.

use std::time::Duration;

use bytes::Bytes;

use super::super::playout::Heard;
use super::super::types::{CheckpointName, DegradedLevel, Digit, Media, StreamInfo, Track};
use crate::{CloseFrame, Code, DecodeError, ProtocolError};

/// What a [`PlivoStream`](super::PlivoStream) can be asked.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlivoCommand {
    /// Barge-in: drop what is queued here and at Plivo. Answered by [`PlivoEvent::Cleared`] at once.
    Clear,
    /// A mark behind everything queued so far, answered by `Played` or `Skipped`.
    Checkpoint(CheckpointName),
    /// End the stream now. Audio still queued is lost: wait for the last mark first.
    Close,
    /// Plivo's status callback says that it cannot get rid of its audio fast enough; `None` when it can again.
    /// The lead shrinks to 3/4, 1/2 or 1/4.
    Degraded(Option<DegradedLevel>),
    /// Queue audio in the stream's own format, in whole samples. It leaves at most `lead` ahead of the ear.
    Play(Bytes),
    /// Send key tones, at once and beside the audio queue.
    SendDtmf(Vec<Digit>),
}

/// What a [`PlivoStream`](super::PlivoStream) tells.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum PlivoEvent {
    /// What was queued is dropped. `heard` is the state when the clear was asked for (or was noticed);
    /// [`ClearSettled`](Self::ClearSettled) follows with the final one.
    Cleared {
        /// How much audio the caller is believed not to hear any more.
        dropped: Duration,
        /// That audio: where a fade-out or a resumption continues.
        unheard: Bytes,
        /// What was heard since the previous clear.
        heard: Heard,
        /// Who cleared.
        by: ClearedBy,
    },
    /// A clear is over: what was heard between it and the one before, for good.
    ClearSettled {
        /// The final interval.
        heard: Heard,
        /// False if Plivo never answered, so that all it was given may have been heard.
        acknowledged: bool,
    },
    /// Always the last event of a session that ended well.
    Closed,
    /// A key was pressed.
    Dtmf(Digit),
    /// A message that did not parse, or whose audio makes no sense. The call goes on.
    Garbled {
        /// What was wrong.
        error: DecodeError,
    },
    /// Caller audio is missing.
    Gap {
        /// Whose.
        track: Track,
        /// Messages missing, if the peer counts them.
        messages: Option<u64>,
        /// How much audio is missing, by the peer's clock or else by its count.
        span: Duration,
    },
    /// The link is gone. What is not heard yet is kept, and resumes with the next `Started`.
    LinkLost {
        /// The peer's close frame, if it sent one.
        close: Option<CloseFrame>,
        /// Why the link counts as lost.
        cause: LossCause,
        /// What was heard since the last clear. `played` is where the next link resumes: a little
        /// before the likeliest position, since a syllable twice is better than none.
        heard: Heard,
        /// Audio that will resume, with what never left.
        unheard: Duration,
    },
    /// Caller audio.
    Media(Media),
    /// The caller heard everything before this mark.
    Played(CheckpointName),
    /// Plivo could not play. What was queued is dropped.
    PlayFailed {
        /// Our name for the reason, if it is one of Plivo's own.
        code: Option<Code>,
        /// Plivo's words.
        reason: String,
    },
    /// This mark will not be acknowledged.
    Skipped {
        /// The mark.
        name: CheckpointName,
        /// Why.
        why: SkipReason,
    },
    /// The stream has started, or goes on over a new link: see [`StreamInfo::life`].
    Started(StreamInfo),
    /// A message this version does not know, or cannot use now.
    Unhandled {
        /// Its type.
        kind: String,
    },
    /// A well-formed message at the wrong moment was left out. Not final.
    Unexpected {
        /// What a strict reader would have failed with.
        error: ProtocolError,
    },
}

/// Who emptied the queue.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearedBy {
    /// Plivo, unasked: what it held is lost, what was still here goes on.
    Peer,
    /// The stream restarted in another format: nothing of the old one can be played.
    Restart,
    /// A [`PlivoCommand::Clear`].
    Us,
}

/// Why a link counts as lost.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// It closed.
    Closed,
    /// It is open, but no media came for the limit.
    Silent,
    /// A redialled link sent no `start`.
    Unstarted,
}

/// Why a mark gets no acknowledgement.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// A clear overtook it.
    Cleared,
    /// The stream ended.
    Ended,
    /// The link was lost while Plivo held it.
    LinkLost,
    /// Plivo could not play.
    PlayFailed,
    /// Its acknowledgement never came; the audio before it may well have been heard.
    TimedOut,
}

/// Counters over the life of a stream.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlivoStats {
    /// Media messages received.
    pub media: u64,
    /// Bytes of caller audio received.
    pub media_bytes: u64,
    /// Messages of audio sent.
    pub frames: u64,
    /// Bytes of audio sent.
    pub audio_bytes: u64,
    /// Clears asked for.
    pub clears: u64,
    /// Holes in the caller's audio.
    pub gaps: u64,
    /// Messages that went backwards in their track's count.
    pub out_of_order: u64,
    /// Messages that named another stream.
    pub foreign: u64,
    /// Messages that did not parse.
    pub garbled: u64,
    /// Messages of unknown type.
    pub unhandled: u64,
    /// Acknowledgements that belonged to no pending mark or clear.
    pub stale: u64,
    /// Links lost.
    pub links_lost: u64,
}
