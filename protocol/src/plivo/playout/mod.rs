//! The model of what Plivo holds and the caller has heard: one queue of audio and marks, cut into
//! segments by every clear.

mod heard;
mod segment;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use voxline_audio::AudioFormat;

use self::heard::Span;
use self::segment::{Mark, Segment};
use super::types::CheckpointName;
use super::wire;

pub use self::heard::Heard;

/// What waits to leave, in order.
#[derive(Debug)]
enum Item {
    Audio(Bytes),
    Mark(CheckpointName),
}

/// What a clear found.
#[derive(Debug)]
pub(super) struct Clearing {
    pub(super) heard: Heard,
    /// What the caller is believed not to have heard, here and at Plivo.
    pub(super) unheard: Bytes,
    /// Marks that never left.
    pub(super) skipped: Vec<CheckpointName>,
    /// Whether Plivo has to be told.
    pub(super) tell: bool,
}

/// What an acknowledged, unsolicited or given-up clear settles.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) heard: Heard,
    pub(super) skipped: Vec<CheckpointName>,
}

/// The next thing to send.
#[derive(Debug)]
pub(super) enum Outgoing {
    Audio { text: String, bytes: usize },
    Mark(String),
}

#[derive(Debug)]
pub(super) struct Playout {
    format: AudioFormat,
    queue: VecDeque<Item>,
    queued: u64,
    /// Bytes ever accepted: the offset of the next one.
    given: u64,
    current: Segment,
    clearing: VecDeque<Segment>,
    settled: Span,
    round_trips: VecDeque<Duration>,
    serial: u64,
    scratch: BytesMut,
}

impl Playout {
    pub(super) fn new(format: AudioFormat) -> Self {
        Self {
            format,
            queue: VecDeque::new(),
            queued: 0,
            given: 0,
            current: Segment::new(format, 0),
            clearing: VecDeque::new(),
            settled: Span::default(),
            round_trips: VecDeque::with_capacity(ROUND_TRIPS),
            serial: 0,
            scratch: BytesMut::new(),
        }
    }

    pub(super) const fn format(&self) -> AudioFormat {
        self.format
    }

    pub(super) fn queued(&self) -> Duration {
        self.format.duration_of(self.queued as usize)
    }

    pub(super) fn play(&mut self, audio: Bytes) {
        self.queued += audio.len() as u64;
        self.given += audio.len() as u64;
        self.queue.push_back(Item::Audio(audio));
    }

    pub(super) fn checkpoint(&mut self, name: CheckpointName) {
        self.queue.push_back(Item::Mark(name));
    }

    /// Marks that are queued here or held by Plivo.
    pub(super) fn pending_marks(&self) -> usize {
        let queued = self.queue.iter().filter(|item| matches!(item, Item::Mark(_))).count();
        queued
            + self.current.marks.len()
            + self.clearing.iter().map(|segment| segment.marks.len()).sum::<usize>()
    }

    /// The next message that may leave by `now`, at most `lead` ahead of the ear, in runs of `frame`.
    pub(super) fn next(&mut self, now: Instant, lead: Duration, frame: Duration) -> Option<Outgoing> {
        if let Item::Mark(_) = self.queue.front()? {
            return self.next_mark(now);
        }
        if self.departure(now, lead, frame)? > now {
            return None;
        }
        let audio = self.take(self.format.bytes_in(frame));
        let at = self.current.timeline.end();
        self.current.timeline.push(now, audio.len());
        let (text, bytes) = (wire::play_audio(self.format, &audio), audio.len());
        self.current.sent.push_back((at, audio));
        self.forget_heard(now);
        Some(Outgoing::Audio { text, bytes })
    }

    /// When the audio at the head of the queue may leave. `None` if no audio is at the head.
    pub(super) fn departure(&self, now: Instant, lead: Duration, frame: Duration) -> Option<Instant> {
        let Some(Item::Audio(_)) = self.queue.front() else { return None };
        let frame = self.format.bytes_in(frame) as u64;
        let lead = (self.format.bytes_in(lead) as u64).max(frame);
        // A run shorter than a frame waits for more, until half the lead is used up.
        let ahead = if self.head_is_whole(frame) { lead - frame } else { lead / 2 };
        let timeline = &self.current.timeline;
        let offset = timeline.end().saturating_sub(ahead).max(timeline.start());
        // Before anything was handed over, the first frame of an answer leaves at once.
        Some(timeline.reached(offset).unwrap_or(now))
    }

    /// Drops everything not yet heard, and starts a new segment.
    pub(super) fn clear(&mut self, now: Instant) -> Clearing {
        let lag = self.lag();
        let mut span = self.current.span(now, lag);
        // What plays while the clear travels is heard too.
        span.estimate = span.high;
        let unheard = self.unheard(self.current.timeline.start() + span.high);
        let skipped = self.drop_queue();
        let tell = !self.current.is_empty();
        let mut old = std::mem::replace(&mut self.current, Segment::new(self.format, self.given));
        old.cleared_at = Some(now);
        old.told = tell;
        old.sent.clear();
        self.clearing.push_back(old);
        Clearing { heard: span.heard(self.format), unheard, skipped, tell }
    }

    /// Whether the oldest clear in progress had nothing to tell Plivo, so that no answer will come.
    pub(super) fn oldest_clear_is_silent(&self) -> bool {
        self.clearing.front().is_some_and(|segment| !segment.told)
    }

    /// Settles the oldest clear in progress.
    pub(super) fn settle_clear(&mut self, now: Instant, acknowledged: bool) -> Option<Settled> {
        let segment = self.clearing.pop_front()?;
        let mut span = segment.span(now, self.lag());
        // The clear travelled as long as the audio before it did, whenever its answer came.
        span.estimate =
            segment.estimate(segment.cleared_at.unwrap_or(now), Duration::ZERO) - segment.timeline.start();
        if !acknowledged {
            span.high = segment.timeline.end() - segment.timeline.start();
        }
        Some(self.settle(segment, span))
    }

    /// Takes what Plivo holds of the current segment as lost; what is still here goes on.
    pub(super) fn settle_loss(&mut self, now: Instant) -> (Settled, Bytes) {
        let lag = self.lag();
        let span = self.current.span(now, lag);
        let estimate = self.current.estimate(now, lag);
        let lost = concat(self.current.tail(estimate));
        let start = self.given - self.queued;
        let segment = std::mem::replace(&mut self.current, Segment::new(self.format, start));
        (self.settle(segment, span), lost)
    }

    /// The link is gone (and every clear given up), and was last known to live at `alive`: what the caller is believed not to
    /// have heard goes back to the head of the queue, marks in their places.
    pub(super) fn rewind(&mut self, now: Instant, alive: Instant) -> Settled {
        let lag = self.lag();
        let end = self.current.timeline.end();
        let kept = self.current.sent.front().map_or(end, |(at, _)| *at);
        // What arrived last left Plivo half a round trip earlier, when it had played what left here
        // another half before that. The longest trip seen counts: rather a syllable twice than none.
        let trip = self.round_trips.iter().max().map_or(CAUTIOUS_ROUND_TRIP, |trip| *trip + JITTER);
        let resume = self.current.estimate(alive.min(now), trip).max(kept);
        let mut span = self.current.span(now, lag);
        span.estimate = resume - self.current.timeline.start();
        let mut segment = std::mem::replace(&mut self.current, Segment::new(self.format, resume));
        let (mut skipped, mut items) = segment.take_rest(resume);
        self.queued += audio_bytes(&items);
        items.append(&mut self.queue);
        self.queue = items;
        let settled = self.settle(segment, span);
        skipped.extend(settled.skipped);
        Settled { heard: settled.heard, skipped }
    }

    /// Plivo says that it reached `wire`: the marks this proves reached, oldest first. Empty if stale.
    pub(super) fn played(&mut self, now: Instant, wire: &str) -> Vec<CheckpointName> {
        let segments = self.clearing.iter_mut().chain(std::iter::once(&mut self.current));
        for segment in segments {
            let Some(index) = segment.marks.iter().position(|mark| mark.wire == wire) else { continue };
            let mark = &segment.marks[index];
            segment.acked = segment.acked.max(mark.at);
            if self.round_trips.len() == ROUND_TRIPS {
                self.round_trips.pop_front();
            }
            self.round_trips.push_back(now.saturating_duration_since(segment.reached(mark)));
            // Marks are reached in order: one whose own acknowledgement was lost is proved by a later one.
            return segment.marks.drain(..=index).map(|mark| mark.name).collect();
        }
        Vec::new()
    }

    /// When the oldest mark at Plivo is overdue.
    pub(super) fn mark_deadline(&self, patience: Duration) -> Option<Instant> {
        let mark = self.current.marks.front()?;
        self.current.reached(mark).checked_add(patience)
    }

    /// Gives up on the oldest mark if it is overdue.
    pub(super) fn expire_mark(&mut self, now: Instant, patience: Duration) -> Option<CheckpointName> {
        self.mark_deadline(patience).filter(|at| *at <= now)?;
        self.current.marks.pop_front().map(|mark| mark.name)
    }

    /// When the oldest unacknowledged clear was asked for.
    pub(super) fn oldest_clear(&self) -> Option<Instant> {
        self.clearing.front()?.cleared_at
    }

    /// Drops what is queued here, and names its marks.
    pub(super) fn drop_queue(&mut self) -> Vec<CheckpointName> {
        self.queued = 0;
        let names = self.queue.drain(..).filter_map(|item| match item {
            Item::Mark(name) => Some(name),
            Item::Audio(_) => None,
        });
        names.collect()
    }

    /// The smallest of the last round trips seen, or a guess before the first.
    pub(super) fn round_trip(&self) -> Duration {
        self.round_trips.iter().min().copied().unwrap_or(FIRST_ROUND_TRIP)
    }

    /// Audio handed over and not yet played, as estimated.
    pub(super) fn at_peer(&self, now: Instant) -> Duration {
        let held = self.current.timeline.end() - self.current.estimate(now, self.lag());
        self.format.duration_of(held as usize)
    }

    /// What was heard since the last clear.
    pub(super) fn heard_of_segment(&self, now: Instant) -> Heard {
        self.current.span(now, self.lag()).heard(self.format)
    }

    /// What was heard in all.
    pub(super) fn heard(&self, now: Instant) -> Heard {
        let lag = self.lag();
        let open = self.clearing.iter().chain(std::iter::once(&self.current));
        let span = open.map(|segment| segment.span(now, lag)).fold(self.settled, Span::plus);
        span.heard(self.format)
    }

    fn next_mark(&mut self, now: Instant) -> Option<Outgoing> {
        let Some(Item::Mark(name)) = self.queue.pop_front() else { return None };
        self.serial += 1;
        let wire = format!("{name}~{}", self.serial);
        let at = self.current.timeline.end();
        self.current.marks.push_back(Mark { name, wire: wire.clone(), at, left_at: now });
        Some(Outgoing::Mark(wire))
    }

    /// Whether the head of the queue holds `frame` bytes, or a mark closes what is there.
    fn head_is_whole(&self, frame: u64) -> bool {
        let mut ready = 0;
        for item in &self.queue {
            match item {
                Item::Audio(bytes) => ready += bytes.len() as u64,
                Item::Mark(_) => return true,
            }
            if ready >= frame {
                return true;
            }
        }
        false
    }

    /// Takes up to `wanted` bytes of audio from the head, without copying if one run holds them.
    fn take(&mut self, wanted: usize) -> Bytes {
        let mut taken = Bytes::new();
        self.scratch.clear();
        while let Some(Item::Audio(head)) = self.queue.front_mut() {
            let room = wanted - taken.len() - self.scratch.len();
            let part = if head.len() > room {
                head.split_to(room)
            } else {
                let whole = std::mem::take(head);
                self.queue.pop_front();
                whole
            };
            if taken.is_empty() && self.scratch.is_empty() {
                taken = part;
            } else {
                self.scratch.extend_from_slice(&std::mem::take(&mut taken));
                self.scratch.extend_from_slice(&part);
            }
            if taken.len() + self.scratch.len() == wanted {
                break;
            }
        }
        let audio = if self.scratch.is_empty() { taken } else { self.scratch.split().freeze() };
        self.queued -= audio.len() as u64;
        audio
    }

    fn unheard(&self, from: u64) -> Bytes {
        let queued = self.queue.iter().filter_map(|item| match item {
            Item::Audio(bytes) => Some(bytes.clone()),
            Item::Mark(_) => None,
        });
        concat(self.current.tail(from).chain(queued))
    }

    fn settle(&mut self, segment: Segment, span: Span) -> Settled {
        self.settled = self.settled.plus(span);
        Settled {
            heard: span.heard(self.format),
            skipped: segment.marks.into_iter().map(|mark| mark.name).collect(),
        }
    }

    /// One way, taken as half of the round trip.
    fn lag(&self) -> Duration {
        self.round_trip() / 2
    }

    fn forget_heard(&mut self, now: Instant) {
        let margin = self.format.bytes_in(KEPT_BEHIND) as u64;
        let lag = self.lag();
        let segment = &mut self.current;
        let keep = segment.estimate(now, lag).saturating_sub(margin);
        while segment.sent.front().is_some_and(|(at, bytes)| at + bytes.len() as u64 <= keep) {
            segment.sent.pop_front();
        }
        segment.timeline.forget(segment.marks.front().map_or(keep, |mark| mark.at.min(keep)));
    }
}

fn audio_bytes(items: &VecDeque<Item>) -> u64 {
    let lengths = items.iter().map(|item| match item {
        Item::Audio(bytes) => bytes.len() as u64,
        Item::Mark(_) => 0,
    });
    lengths.sum()
}

fn concat(parts: impl Iterator<Item = Bytes>) -> Bytes {
    let mut whole = BytesMut::new();
    for part in parts {
        whole.extend_from_slice(&part);
    }
    whole.freeze()
}

/// Round trips remembered; the smallest counts, so that a stalled scheduler does not look like a slow network.
const ROUND_TRIPS: usize = 8;
/// Taken as the round trip until an acknowledgement shows one.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(60);
/// The same where too little is worse than too much.
const CAUTIOUS_ROUND_TRIP: Duration = Duration::from_millis(300);
/// How much longer than the longest round trip seen the last one may have been.
const JITTER: Duration = Duration::from_millis(80);
/// Audio kept behind the estimated position, for a link that died some time before anybody noticed.
const KEPT_BEHIND: Duration = Duration::from_secs(2);
