//! Stops dialling a vendor that is down, and lets one probe find out when it is back.

use std::time::{Duration, Instant};

use crate::limits::later;

/// A circuit breaker over the dials of every session with one vendor.
///
/// It opens after a run of failures without one success between them. While it is open nobody
/// dials; after `cooldown` one dial is let through as a probe. A probe that proves good closes the
/// breaker, one that fails opens it again, and one that never reports is given up after another
/// `cooldown`.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_session::Breaker;
///
/// let now = Instant::now();
/// let mut breaker = Breaker::new(2, Duration::from_secs(5));
/// breaker.on_failure(now);
/// breaker.on_failure(now);
/// assert!(!breaker.admit(now));
/// let later = now + Duration::from_secs(5);
/// assert!(breaker.admit(later), "the probe");
/// assert!(!breaker.admit(later), "one probe at a time");
/// breaker.on_success();
/// assert!(breaker.admit(later));
/// ```
#[derive(Debug, Clone)]
pub struct Breaker {
    threshold: u32,
    cooldown: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everybody dials; so many failures stand in a row.
    Closed { failures: u32 },
    /// Nobody dials before `until`. The next one who asks after it is the probe.
    Open { until: Instant },
}

impl Breaker {
    /// Opens after `threshold` failures in a row (0 counts as 1), for `cooldown` at a time.
    ///
    /// A threshold of a few trips on one session's bad luck; one of thousands never trips. The
    /// cooldown bounds how late we notice that the vendor is back.
    #[must_use]
    pub const fn new(threshold: u32, cooldown: Duration) -> Self {
        Self { threshold, cooldown, state: State::Closed { failures: 0 } }
    }

    /// Whether the asker may dial now. An asker who may must report how it went.
    pub fn admit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } if now < until => false,
            State::Open { .. } => {
                self.state = State::Open { until: later(now, self.cooldown) };
                true
            }
        }
    }

    /// A dial failed, or its link died before it proved good.
    pub fn on_failure(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.threshold => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } | State::Open { .. } => State::Open { until: later(now, self.cooldown) },
        };
    }

    /// A link proved good, or the vendor answered in a way that shows it is up.
    pub fn on_success(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// Whether dials are held back.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }
}

impl Default for Breaker {
    /// Opens after 20 failures in a row, probes every 5 s.
    fn default() -> Self {
        Self::new(20, Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(5);

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(3, COOLDOWN);
        for _ in 0..3 {
            assert!(breaker.admit(now));
            breaker.on_failure(now);
        }
        assert!(breaker.is_open());
        breaker
    }

    #[test]
    fn one_success_starts_the_count_over() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, COOLDOWN);
        for _ in 0..10 {
            breaker.on_failure(now);
            breaker.on_failure(now);
            breaker.on_success();
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_failed_probe_opens_it_for_another_cooldown() {
        let now = Instant::now();
        let mut breaker = open(now);
        let probe = now + COOLDOWN;
        assert!(breaker.admit(probe));
        breaker.on_failure(probe + Duration::from_secs(1));
        assert!(!breaker.admit(probe + COOLDOWN));
        assert!(breaker.admit(probe + COOLDOWN + Duration::from_secs(1)));
    }

    #[test]
    fn a_probe_that_never_reports_is_replaced() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert!(breaker.admit(now + COOLDOWN));
        assert!(!breaker.admit(now + COOLDOWN * 2 - Duration::from_millis(1)));
        assert!(breaker.admit(now + COOLDOWN * 2));
    }
}
