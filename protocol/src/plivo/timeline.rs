//! The earliest the caller can have heard each byte: everything plays at once, in order, in real time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use voxline_audio::AudioFormat;

/// Stretches of gapless audio, each with the instant it can begin to sound.
///
/// Plivo plays in real time and nothing travels faster than at once, so the true position at any
/// instant is at or before [`position`](Self::position): an upper bound that needs no trust in the
/// network. It falls short of being exact by the delay to Plivo, and by what a late message added.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    format: AudioFormat,
    start: u64,
    runs: VecDeque<Run>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    from: Instant,
    start: u64,
    end: u64,
}

impl Timeline {
    /// Nothing handed over yet; the first byte will be `start`.
    pub(crate) const fn new(format: AudioFormat, start: u64) -> Self {
        Self { format, start, runs: VecDeque::new() }
    }

    /// Hands `bytes` more over.
    pub(crate) fn push(&mut self, now: Instant, bytes: usize) {
        let start = self.end();
        let end = start + bytes as u64;
        match self.runs.back_mut() {
            Some(run) if run.from + duration(self.format, run.end - run.start) >= now => run.end = end,
            _ => {
                if self.runs.len() == MAX_RUNS {
                    self.runs.pop_front();
                }
                self.runs.push_back(Run { from: now, start, end });
            }
        }
    }

    /// Of which audio.
    pub(crate) const fn format(&self) -> AudioFormat {
        self.format
    }

    /// The first byte's offset.
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    /// One past the last byte handed over.
    pub(crate) fn end(&self) -> u64 {
        self.runs.back().map_or(self.start, |run| run.end)
    }

    /// How far the caller can have heard at `at`, in whole samples, rounded up.
    pub(crate) fn position(&self, at: Instant) -> u64 {
        match self.runs.iter().rev().find(|run| run.from <= at) {
            Some(run) => run.end.min(run.start + bytes_ceil(self.format, at - run.from)),
            None => self.runs.front().map_or(self.start, |run| run.start),
        }
    }

    /// When the caller can have heard up to `offset` at the earliest. `None` while it was not handed over.
    pub(crate) fn reached(&self, offset: u64) -> Option<Instant> {
        let run = self.runs.iter().find(|run| run.end >= offset)?;
        Some(run.from + duration(self.format, offset.saturating_sub(run.start)))
    }

    /// Drops the stretches that end before `offset`: nobody asks about them again.
    pub(crate) fn forget(&mut self, offset: u64) {
        while self.runs.len() > 1 && self.runs.front().is_some_and(|run| run.end < offset) {
            self.runs.pop_front();
        }
    }
}

fn bytes_ceil(format: AudioFormat, span: Duration) -> u64 {
    let samples = (span.as_nanos() * u128::from(format.rate.hz())).div_ceil(1_000_000_000);
    samples as u64 * format.encoding.bytes_per_sample() as u64
}

fn duration(format: AudioFormat, bytes: u64) -> Duration {
    format.duration_of(bytes as usize)
}

/// More stretches than this between two acknowledgements means a sender that starves all the time;
/// the oldest are forgotten, which only widens the interval.
const MAX_RUNS: usize = 256;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
mod tests {
    use super::*;

    #[test]
    fn audio_handed_over_late_starts_a_new_stretch() {
        let zero = Instant::now();
        let at = |millis| zero + Duration::from_millis(millis);
        let mut timeline = Timeline::new(AudioFormat::PHONE, 1_000);
        assert_eq!(timeline.position(at(5)), 1_000);
        timeline.push(at(10), 160);
        timeline.push(at(10), 160);
        assert_eq!(timeline.position(at(30)), 1_160);
        assert_eq!(timeline.position(at(500)), 1_320);
        timeline.push(at(500), 160);
        assert_eq!(timeline.position(at(510)), 1_400);
        assert_eq!(timeline.reached(1_160), Some(at(30)));
        assert_eq!(timeline.reached(1_480), Some(at(520)));
        assert_eq!(timeline.reached(1_481), None);
        timeline.forget(1_400);
        assert_eq!(timeline.position(at(510)), 1_400);
    }
}
