//! How late sound comes, and how much must wait because of it.

use core::time::Duration;
use std::time::Instant;

use crate::slow_minimum::SlowMinimum;

/// A histogram of lateness that forgets over about ten seconds.
///
/// Lateness is measured against the earliest sound of late: a source that is ahead of time is not late, and its
/// first message may itself have been.
#[derive(Debug, Clone)]
pub(super) struct Lateness {
    weights: [f32; BINS],
    last_arrival: Option<Instant>,
    /// Seconds by which the last arrival was behind the first, by the sound that came between.
    behind: f32,
    earliest: SlowMinimum,
}

impl Lateness {
    pub(super) const fn new() -> Self {
        Self {
            weights: [0.0; BINS],
            last_arrival: None,
            behind: 0.0,
            earliest: SlowMinimum::new(EARLIEST_MEMORY),
        }
    }

    /// Sound of the duration `length` arrived.
    pub(super) fn arrived(&mut self, now: Instant, length: Duration) {
        let now = self.last_arrival.map_or(now, |last| last.max(now));
        let gap = self.last_arrival.map_or(Duration::ZERO, |last| now.duration_since(last));
        if gap > PAUSE {
            self.restart();
        } else {
            self.behind += gap.as_secs_f32();
        }
        self.last_arrival = Some(now);
        let late = self.behind - self.earliest.push(self.behind);
        // What comes next is due when this is over.
        self.behind -= length.as_secs_f32();
        // Rounded up, but not by the last bit of a float.
        let bin = ((late * 1_000.0 / BIN_MS as f32 - 0.01).ceil() as usize).min(BINS - 1);
        let forget = (-length.as_secs_f32() / MEMORY_SECONDS).exp();
        for weight in &mut self.weights {
            *weight *= forget;
        }
        self.weights[bin] += 1.0 - forget;
    }

    /// The schedule begins anew with the next arrival; what is known of lateness stays.
    pub(super) fn restart(&mut self) {
        self.last_arrival = None;
        self.behind = 0.0;
        self.earliest.reset();
    }

    /// What 95 % of the sound was not later than.
    pub(super) fn usual(&self) -> Duration {
        let total: f32 = self.weights.iter().sum();
        let mut rest = total * 0.05;
        for (bin, weight) in self.weights.iter().enumerate().rev() {
            rest -= weight;
            if rest < 0.0 {
                return Duration::from_millis(bin as u64 * BIN_MS);
            }
        }
        Duration::ZERO
    }
}

/// Bins of 5 ms up to half a second; what is later counts as that.
const BINS: usize = 101;
const BIN_MS: u64 = 5;

/// Time after which a third of the weight is left.
const MEMORY_SECONDS: f32 = 10.0;

/// Nothing for so long is a source that paused, not one that is late.
const PAUSE: Duration = Duration::from_secs(1);

/// Arrivals over which the earliest is remembered: ten seconds of 20 ms messages.
const EARLIEST_MEMORY: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Duration = Duration::from_millis(20);

    fn usual_of(lateness_ms: impl Fn(u32) -> u64, messages: u32) -> Duration {
        let (mut lateness, start) = (Lateness::new(), Instant::now());
        for n in 0..messages {
            lateness.arrived(start + MESSAGE * n + Duration::from_millis(lateness_ms(n)), MESSAGE);
        }
        lateness.usual()
    }

    #[test]
    fn the_usual_lateness_covers_nineteen_messages_of_twenty() {
        assert_eq!(usual_of(|_| 0, 500), Duration::ZERO);
        assert_eq!(usual_of(|n| u64::from(n % 4) * 10, 500), Duration::from_millis(30));
        assert_eq!(usual_of(|n| if n % 50 == 49 { 40 } else { 0 }, 500), Duration::ZERO);
        assert_eq!(usual_of(|n| if n % 10 == 9 { 100 } else { 0 }, 500), Duration::from_millis(100));
    }

    #[test]
    fn a_late_beginning_and_a_calmer_line_are_forgotten() {
        assert_eq!(
            usual_of(|n| if n == 0 { 300 } else { 300 - 280 * u64::from(n.min(1)) }, 500),
            Duration::ZERO
        );
        let usual = usual_of(|n| if n < 500 { u64::from(n % 4) * 20 } else { 0 }, 3_000);
        assert_eq!(usual, Duration::ZERO);
    }

    #[test]
    fn a_source_faster_than_time_is_never_late() {
        let (mut lateness, start) = (Lateness::new(), Instant::now());
        for n in 0..500 {
            lateness.arrived(start + Duration::from_millis(n), MESSAGE);
        }
        assert_eq!(lateness.usual(), Duration::ZERO);
        // Nor is an instant that goes backwards a reason to panic.
        lateness.arrived(start, MESSAGE);
    }
}
