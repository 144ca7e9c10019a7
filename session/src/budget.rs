//! How many retries a vendor gets from all our sessions together.

use std::time::{Duration, Instant};

/// A token bucket over the retries of every session with one vendor.
///
/// A retry takes a token, or is told how long to wait for one; waits are handed out one after the
/// other, so sessions that wait for tokens never dial together. First dials take none unless the vendor
/// asked to be left alone meanwhile; reconnects take none after a link that proved good and was closed
/// in order, or for which nothing waits: a quiet night of idle closes costs nothing.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_session::Budget;
///
/// let now = Instant::now();
/// let mut budget = Budget::new(2, 10.0);
/// assert_eq!(budget.reserve(now), Duration::ZERO);
/// assert_eq!(budget.reserve(now), Duration::ZERO);
/// assert_eq!(budget.reserve(now), Duration::from_millis(100));
/// assert_eq!(budget.reserve(now), Duration::from_millis(200));
/// assert_eq!(budget.spent(), 4);
/// ```
#[derive(Debug, Clone)]
pub struct Budget {
    /// Time one token takes to grow back.
    interval: Duration,
    /// Time all of `burst` takes to grow back, less one token.
    tolerance: Duration,
    /// When the bucket is full again: the virtual scheduling form of the leaky bucket, ITU-T I.371 Annex A.
    full_at: Option<Instant>,
    spent: u64,
}

impl Budget {
    /// `burst` retries at once, then `per_second`. Too little and a fleet is slow to come back: the
    /// last of `n` sessions waits `n / per_second`. Too much and it is no limit.
    ///
    /// A `burst` of 0 counts as 1; a rate below one in a thousand seconds, or no number, counts as
    /// that.
    #[must_use]
    pub fn new(burst: u32, per_second: f64) -> Self {
        let interval = Duration::from_secs_f64(per_second.max(0.001).recip());
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.saturating_sub(1)),
            full_at: None,
            spent: 0,
        }
    }

    /// Takes one token, and says how long to wait until it is there. A wait not waited out is lost,
    /// not returned.
    pub fn reserve(&mut self, now: Instant) -> Duration {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(full_at + self.interval);
        self.spent += 1;
        full_at.saturating_duration_since(now).saturating_sub(self.tolerance)
    }

    /// Tokens taken so far.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.spent
    }
}

impl Default for Budget {
    /// 200 at once, then 200 a second: 10,000 sessions of one process are back within 50 s.
    fn default() -> Self {
        Self::new(200, 200.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_any_time_no_more_than_burst_plus_rate_is_granted() {
        let start = Instant::now();
        let mut budget = Budget::new(5, 10.0);
        let mut grants: Vec<Duration> = (0..100u64)
            .map(|i| {
                let asked = Duration::from_millis(i * 17);
                asked + budget.reserve(start + asked)
            })
            .collect();
        grants.sort_unstable();
        for (i, from) in grants.iter().enumerate() {
            let in_a_second =
                grants[i..].iter().take_while(|at| **at < *from + Duration::from_secs(1)).count();
            assert!(in_a_second <= 15, "{in_a_second} from {from:?}");
        }
    }

    #[test]
    fn a_rested_bucket_holds_its_burst_and_no_more() {
        let start = Instant::now();
        let mut budget = Budget::new(3, 1.0);
        let later = start + Duration::from_secs(3_600);
        budget.reserve(start);
        let waits: Vec<u64> = (0..5).map(|_| budget.reserve(later).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2]);
    }

    #[test]
    fn senseless_numbers_become_the_nearest_sense() {
        let now = Instant::now();
        for rate in [0.0, -1.0, f64::NAN] {
            let mut budget = Budget::new(0, rate);
            assert_eq!(budget.reserve(now), Duration::ZERO, "{rate}");
            assert_eq!(budget.reserve(now), Duration::from_secs(1_000), "{rate}");
        }
    }
}
