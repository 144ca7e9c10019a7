//! When the avatar says what it was sent, as far as that can be known: the service never tells.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::UtteranceId;

/// A model of the avatar's mouth: what it was given plays without gaps, after a short start.
///
/// The client runs two. One is fed when a message is sent and so can only be early; one when it is
/// confirmed and so can only be late. The truth lies between.
#[derive(Debug, Clone, Default)]
pub(super) struct Playback {
    end: Option<Instant>,
    segments: VecDeque<Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    utterance: UtteranceId,
    /// Which part of its utterance it is, silence at the end excluded.
    voice: Range<Duration>,
    from: Instant,
    until: Instant,
}

impl Segment {
    fn position(&self, now: Instant) -> Duration {
        (self.voice.start + now.saturating_duration_since(self.from)).min(self.voice.end)
    }
}

impl Playback {
    /// Queues `length` of sound that carries `voice` of an utterance, and says when it plays.
    pub(super) fn add(
        &mut self,
        now: Instant,
        utterance: UtteranceId,
        voice: Range<Duration>,
        length: Duration,
    ) -> (Instant, Instant) {
        while self.segments.len() > MAX_SEGMENTS
            && self.segments.front().is_some_and(|first| first.until <= now)
        {
            self.segments.pop_front();
        }
        let from = match self.end {
            Some(end) if end > now => end,
            Some(_) | None => now + START_DELAY,
        };
        let until = from + length;
        self.end = Some(until);
        self.segments.push_back(Segment { utterance, voice, from, until });
        (from, until)
    }

    /// How much is still to be said.
    pub(super) fn ahead(&self, now: Instant) -> Duration {
        self.end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    /// The utterances that have not been said to their end, each once, with the place reached.
    pub(super) fn unfinished(&self, now: Instant) -> Vec<(UtteranceId, Duration)> {
        let open = self.segments.iter().filter(|segment| segment.until > now);
        let mut all: Vec<_> = open.map(|segment| (segment.utterance, segment.position(now))).collect();
        all.dedup_by_key(|(utterance, _)| *utterance);
        all
    }

    /// How far into `utterance` the avatar has ever been by `now`.
    pub(super) fn reached(&self, utterance: UtteranceId, now: Instant) -> Duration {
        let own =
            self.segments.iter().filter(|segment| segment.utterance == utterance && segment.from <= now);
        own.map(|segment| segment.position(now)).max().unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// How long the service takes from the first samples to the first movement: about half a second by
/// its documents.
pub(super) const START_DELAY: Duration = Duration::from_millis(500);
/// Segments kept although they were said: the account of an interruption may still need them.
const MAX_SEGMENTS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agenthuman::instant;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn speech_queues_without_gaps_and_starts_over_after_silence() {
        let now = instant();
        let mut playback = Playback::default();
        let one = UtteranceId::new(1);
        let first = playback.add(now, one, Duration::ZERO..SECOND, SECOND);
        assert_eq!(first, (now + SECOND / 2, now + SECOND * 3 / 2));
        let second = playback.add(now + SECOND, one, SECOND..SECOND * 2, SECOND);
        assert_eq!(second, (now + SECOND * 3 / 2, now + SECOND * 5 / 2));
        assert_eq!(playback.ahead(now + SECOND), SECOND * 3 / 2);
        let (from, _) = playback.add(now + SECOND * 9, one, SECOND * 2..SECOND * 3, SECOND);
        assert_eq!(from, now + SECOND * 19 / 2);
    }

    #[test]
    fn a_position_counts_from_the_start_of_its_utterance_and_skips_added_silence() {
        let now = instant();
        let mut playback = Playback::default();
        let (one, two) = (UtteranceId::new(1), UtteranceId::new(2));
        playback.add(now, one, SECOND * 3..SECOND * 13 / 4, SECOND);
        playback.add(now, two, Duration::ZERO..SECOND, SECOND);
        assert_eq!(playback.unfinished(now + SECOND), [(one, SECOND * 13 / 4), (two, Duration::ZERO)]);
        assert_eq!(playback.unfinished(now + SECOND * 2), [(two, SECOND / 2)], "the first is said");
        assert_eq!(playback.reached(one, now + SECOND * 9), SECOND * 13 / 4);
    }
}
