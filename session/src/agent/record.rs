//! What a stream carried, as the provider's console counts it.

use std::time::{Duration, Instant};

use voxline_protocol::plivo::{CallId, ClearedBy, DegradedLevel, PlivoEvent, StreamId};

/// One stream of a call, over all its links: to be compared with the provider's own record of it (P30).
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its call.
    pub call_id: CallId,
    /// The stream.
    pub stream_id: StreamId,
    /// When it started.
    pub started: Instant,
    /// From its start to its end.
    pub duration: Duration,
    /// Links it had, one more than it was redialled.
    pub links: u32,
    /// Bytes of caller audio.
    pub bytes_in: u64,
    /// Bytes of audio given to it to play.
    pub bytes_out: u64,
    /// Holes in the caller's audio.
    pub gaps: u32,
    /// What they add up to.
    pub missing: Duration,
    /// Times its queue was cleared, by a barge-in or by the provider.
    pub clears: u32,
    /// Levels at which the provider could not get rid of its audio, in the order they were told.
    pub degraded: Vec<DegradedLevel>,
    /// How its last link ended.
    pub end: StreamEnd,
}

/// How a stream ended.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The agent ended it.
    Agent,
    /// The provider closed it in order: somebody hung up, or stopped it.
    HungUp,
    /// Its link was lost and not dialled again.
    Lost,
}

impl StreamRecord {
    /// The record of the stream that a `Started` begins; `None` if it only goes on.
    pub(super) fn begun_by(now: Instant, event: &PlivoEvent, current: Option<&Self>) -> Option<Self> {
        let PlivoEvent::Started(info) = event else { return None };
        if current.is_some_and(|record| record.stream_id == info.stream_id) {
            return None;
        }
        Some(Self {
            call_id: info.call_id.clone(),
            stream_id: info.stream_id.clone(),
            started: now,
            duration: Duration::ZERO,
            links: 0,
            bytes_in: 0,
            bytes_out: 0,
            gaps: 0,
            missing: Duration::ZERO,
            clears: 0,
            degraded: Vec::new(),
            end: StreamEnd::Agent,
        })
    }

    pub(super) fn handle(&mut self, event: &PlivoEvent) {
        match event {
            PlivoEvent::Started(_) => {
                self.links += 1;
                self.end = StreamEnd::Agent;
            }
            PlivoEvent::Media(media) => self.bytes_in += media.payload.len() as u64,
            PlivoEvent::Gap { span, .. } => {
                self.gaps += 1;
                self.missing += *span;
            }
            PlivoEvent::Cleared { by: ClearedBy::Peer | ClearedBy::Us, .. } => self.clears += 1,
            PlivoEvent::LinkLost { close, .. } => {
                let in_order = close.as_ref().is_some_and(|frame| frame.code == IN_ORDER);
                self.end = if in_order { StreamEnd::HungUp } else { StreamEnd::Lost };
            }
            PlivoEvent::Cleared { .. }
            | PlivoEvent::ClearSettled { .. }
            | PlivoEvent::Closed
            | PlivoEvent::Dtmf(_)
            | PlivoEvent::Garbled { .. }
            | PlivoEvent::PlayFailed { .. }
            | PlivoEvent::Played(_)
            | PlivoEvent::Skipped { .. }
            | PlivoEvent::Unexpected { .. }
            | PlivoEvent::Unhandled { .. }
            | _ => {}
        }
    }

    pub(super) fn finished(mut self, now: Instant) -> Self {
        self.duration = now.saturating_duration_since(self.started);
        self
    }
}

/// RFC 6455 §7.4.1: the purpose of the link is fulfilled.
const IN_ORDER: u16 = 1000;
