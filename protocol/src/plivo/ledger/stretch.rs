//! What was given between two clears, and how far into it the caller can have heard.

use std::time::{Duration, Instant};

use voxline_audio::AudioFormat;

use super::super::playout::Heard;
use super::super::timeline::Timeline;

/// Least, likeliest and greatest offset heard, over all audio ever given.
pub(super) type Span = [u64; 3];

#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) number: u64,
    pub(super) phase: Phase,
    pub(super) start: u64,
    pub(super) timeline: Timeline,
    acked: u64,
    /// What was reached before the loss or pause that this stretch resumes from.
    before: Span,
}

/// How far a stretch is from being settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Audio is being given to it.
    Open,
    /// The application asked for its end, or for a pause.
    Asked(Why),
    /// The stream has confirmed that it dropped the rest, which begins at `rest`.
    Confirmed { why: Why, rest: u64 },
    /// It was settled, and may be resumed.
    Paused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Clear,
    Pause,
}

impl Stretch {
    pub(super) const fn new(number: u64, format: AudioFormat, start: u64) -> Self {
        Self {
            number,
            phase: Phase::Open,
            start,
            timeline: Timeline::new(format, start),
            acked: start,
            before: [start; 3],
        }
    }

    /// Goes on at `start`, after `before` was reached.
    pub(super) fn resumed_at(&self, format: AudioFormat, start: u64, before: Span) -> Self {
        Self { phase: self.phase, before, ..Self::new(self.number, format, start) }
    }

    pub(super) fn acknowledge(&mut self, at: u64) {
        self.acked = self.acked.max(at);
    }

    pub(super) const fn is_pausing(&self) -> bool {
        matches!(
            self.phase,
            Phase::Asked(Why::Pause) | Phase::Confirmed { why: Why::Pause, .. } | Phase::Paused
        )
    }

    /// Whether the stream has still to reach the clear that ends it.
    pub(super) const fn is_current(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Asked(_) | Phase::Paused)
    }

    /// What is reached by `now`, as far as acknowledgements and the clock can tell.
    pub(super) fn span(&self, now: Instant) -> Span {
        let likely = now.checked_sub(LIKELY_DELAY).map_or(self.start, |then| self.timeline.position(then));
        self.reaching([self.acked, likely, self.timeline.position(now).max(self.acked)])
    }

    /// What is reached if the stream says that `heard` was heard of it.
    pub(super) fn settled(&self, format: AudioFormat, heard: &Heard) -> Span {
        self.reaching(
            [heard.at_least, heard.played, heard.at_most]
                .map(|span| self.start + format.bytes_in(span) as u64),
        )
    }

    /// Offsets of this stretch with those before it: as long as nothing of it is reached, those count.
    fn reaching(&self, offsets: Span) -> Span {
        let reached = |index: usize| match offsets[index] {
            at if at > self.start => at.max(self.before[index]),
            _ => self.before[index],
        };
        let (low, high) = (reached(0), reached(0).max(reached(2)));
        [low, reached(1).clamp(low, high), high]
    }
}

/// One way to Plivo, until the stream settles what was heard.
const LIKELY_DELAY: Duration = Duration::from_millis(30);
