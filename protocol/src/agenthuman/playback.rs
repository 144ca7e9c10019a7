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
    /// How far utterances were said whose segments are over, oldest first.
    said: VecDeque<(UtteranceId, Duration)>,
    doubt: Doubt,
}

/// Which way the queue may be off since sound was lost track of.
#[derive(Debug, Clone, Copy, Default)]
enum Doubt {
    #[default]
    None,
    Earlier,
    Later,
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
        while self.segments.front().is_some_and(|first| first.until <= now) {
            let Some(first) = self.segments.pop_front() else { break };
            self.remember(first.utterance, first.voice.end);
        }
        let end = self.end.unwrap_or(now);
        let from = match self.doubt {
            Doubt::None if end > now => end,
            Doubt::None => now + START_DELAY,
            Doubt::Earlier => end.max(now),
            Doubt::Later => end.max(now + START_DELAY),
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

    /// How much speech is queued and not said, without what may fill the time between.
    pub(super) fn unsaid(&self, now: Instant) -> Duration {
        let left = |segment: &Segment| segment.until.saturating_duration_since(now.max(segment.from));
        self.segments.iter().map(left).sum()
    }

    /// The utterances that have not been said to their end, each once.
    pub(super) fn unfinished(&self, now: Instant) -> Vec<UtteranceId> {
        let open = self.segments.iter().filter(|segment| segment.until > now);
        let mut all: Vec<_> = open.map(|segment| segment.utterance).collect();
        all.dedup();
        all
    }

    /// How far into `utterance` the avatar has ever been by `now`.
    pub(super) fn reached(&self, utterance: UtteranceId, now: Instant) -> Duration {
        let own =
            self.segments.iter().filter(|segment| segment.utterance == utterance && segment.from <= now);
        let before = self.said.iter().find(|(id, _)| *id == utterance).map(|(_, until)| *until);
        own.map(|segment| segment.position(now)).max().max(before).unwrap_or_default()
    }

    fn remember(&mut self, utterance: UtteranceId, until: Duration) {
        match self.said.iter_mut().rev().find(|(id, _)| *id == utterance) {
            Some((_, said)) => *said = until.max(*said),
            None => {
                if self.said.len() == MAX_SAID {
                    self.said.pop_front();
                }
                self.said.push_back((utterance, until));
            }
        }
    }

    /// `length` of sound may have arrived or not: what is queued after it may come later.
    pub(super) fn delay(&mut self, now: Instant, length: Duration) {
        if length.is_zero() {
            return;
        }
        self.doubt = Doubt::Later;
        self.end = Some(self.end.unwrap_or(now).max(now + START_DELAY) + length);
    }

    /// `length` of what was queued may never have arrived: what is queued after it may come earlier.
    pub(super) fn rewind(&mut self, length: Duration) {
        if length.is_zero() {
            return;
        }
        self.doubt = Doubt::Earlier;
        self.end = self.end.and_then(|end| end.checked_sub(length));
    }

    /// `length` was queued and is not said: what is queued may be said earlier.
    pub(super) fn advance(&mut self, now: Instant, length: Duration) {
        self.rewind(length);
        for segment in self.segments.iter_mut().filter(|segment| segment.until > now) {
            segment.from = segment.from.checked_sub(length).unwrap_or(segment.from);
            segment.until = segment.until.checked_sub(length).unwrap_or(segment.until);
        }
    }

    /// The mouth falls silent for good: what was not said by `now` never is.
    pub(super) fn stop(&mut self, now: Instant) {
        self.end = None;
        self.doubt = Doubt::None;
        self.segments.retain(|segment| segment.from < now);
        for segment in self.segments.iter_mut().filter(|segment| segment.until > now) {
            segment.voice.end = segment.position(now);
            segment.until = now;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// How long the service takes from the first samples to the first movement: about half a second by
/// its documents.
pub(super) const START_DELAY: Duration = Duration::from_millis(500);
/// Utterances remembered although they were said: the account of an interruption may need them, and
/// the client holds fewer than this.
const MAX_SAID: usize = 512;

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
        assert_eq!(playback.unfinished(now + SECOND), [one, two]);
        assert_eq!(playback.reached(two, now + SECOND), Duration::ZERO);
        assert_eq!(playback.unfinished(now + SECOND * 2), [two], "the first is said");
        assert_eq!(playback.reached(two, now + SECOND * 2), SECOND / 2);
        assert_eq!(playback.reached(one, now + SECOND * 9), SECOND * 13 / 4);
    }

    #[test]
    fn what_was_not_said_when_the_mouth_fell_silent_never_is() {
        let now = instant();
        let mut playback = Playback::default();
        let (one, two) = (UtteranceId::new(1), UtteranceId::new(2));
        playback.add(now, one, Duration::ZERO..SECOND, SECOND);
        playback.add(now, two, Duration::ZERO..SECOND, SECOND);
        playback.stop(now + SECOND);
        assert_eq!(playback.ahead(now + SECOND), Duration::ZERO);
        let later = now + SECOND * 9;
        assert_eq!(
            (playback.reached(one, later), playback.reached(two, later)),
            (SECOND / 2, Duration::ZERO)
        );
    }
}
