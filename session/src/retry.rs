//! How long to wait between two attempts: exponential windows with full jitter.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use voxline_protocol::Dice;

/// When and how often a lost link is dialled again. A pure value: nothing here sleeps.
///
/// ```
/// use std::time::Duration;
/// use voxline_session::RetryPolicy;
///
/// let policy = RetryPolicy::new(Duration::from_secs(1), Duration::from_secs(30)).with_seed(7);
/// let delays: Vec<Duration> = policy.delays().take(8).collect();
/// assert!(delays[0] <= Duration::from_secs(1));
/// assert!(delays.iter().all(|delay| *delay <= policy.cap));
/// assert_eq!(delays, policy.delays().take(8).collect::<Vec<_>>());
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first window, 1 s by default. Shorter strikes a vendor that just fell over; longer is heard as silence.
    pub base: Duration,
    /// The widest window, 30 s by default. Shorter keeps a dead vendor busy; longer delays the way back.
    pub cap: Duration,
    /// Redials in a row without a proved link after which the session ends; 0 never redials, `None`,
    /// the default, tries for as long as the session is wanted.
    pub max_attempts: Option<u32>,
    /// The longest time without a proved link, counted from the loss; a wait that would pass it ends
    /// the session at once. `None` by default.
    pub give_up_after: Option<Duration>,
    /// How long a link must live, from the moment its peer was ready to work, to have proved good; 2 s by
    /// default. Only then do windows and attempts start over, so a peer that accepts and hangs up, or
    /// accepts and says nothing, is not dialled in a tight loop.
    pub good_after: Duration,
    /// The seed of the jitter. `None`, the default, seeds from the system, as live systems must: equal
    /// seeds dial together.
    pub seed: Option<u64>,
}

impl RetryPolicy {
    /// Windows from `base`, doubling up to `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            max_attempts: None,
            give_up_after: None,
            good_after: Duration::from_secs(2),
            seed: None,
        }
    }

    /// One dial, and no redial.
    #[must_use]
    pub const fn never() -> Self {
        Self::new(Duration::ZERO, Duration::ZERO).with_max_attempts(0)
    }

    /// Ends the session after `attempts` redials without a proved link.
    #[must_use]
    pub const fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Ends the session once it has been without a proved link for `limit`.
    #[must_use]
    pub const fn with_give_up_after(mut self, limit: Duration) -> Self {
        self.give_up_after = Some(limit);
        self
    }

    /// Sets how long a link must live to have proved good.
    #[must_use]
    pub const fn with_good_after(mut self, life: Duration) -> Self {
        self.good_after = life;
        self
    }

    /// Makes the jitter repeatable.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The endless run of delays. With full jitter each is anywhere from nothing to its window, and
    /// the windows double from `base` to `cap`.
    ///
    /// After the first delay from the widest window, clients that were lost together are spread over
    /// all of it. From then on full jitter has no work left and a price: waits of half a window on
    /// average are two dials a window. So later delays keep to the upper third, which is 1.2 dials
    /// a window, at the same spread.
    #[must_use]
    pub fn delays(&self) -> Delays {
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
        Delays {
            base: self.base,
            cap: self.cap,
            window: self.base.min(self.cap),
            spread: false,
            jitter: Dice::new(seed),
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30))
    }
}

/// Delays of one [`RetryPolicy`], drawn one at a time. Never ends.
#[derive(Debug, Clone)]
pub struct Delays {
    base: Duration,
    cap: Duration,
    window: Duration,
    /// Whether a delay was drawn from the widest window already.
    spread: bool,
    jitter: Dice,
}

impl Delays {
    /// The window the next delay is drawn from.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// Back to the first window. The jitter goes on, so that no delay repeats.
    pub fn reset(&mut self) {
        self.window = self.base.min(self.cap);
        self.spread = false;
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let jitter = self.jitter.unit();
        if self.spread {
            return Some(self.cap.mul_f64((2.0 + jitter) / 3.0));
        }
        let delay = self.window.mul_f64(jitter);
        self.spread = self.window == self.cap;
        self.window = self.window.saturating_mul(2).min(self.cap);
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn windows_double_from_one_second_to_the_cap() {
        let mut delays = RetryPolicy::default().with_seed(1).delays();
        let mut windows = Vec::new();
        for _ in 0..7 {
            windows.push(delays.window().as_secs());
            delays.next();
        }
        assert_eq!(windows, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn delays_fill_their_window_evenly_and_never_pass_it() {
        let mut quarters = [0u32; 4];
        for seed in 0..4_000 {
            let delay = RetryPolicy::default().with_seed(seed).delays().next().unwrap();
            assert!(delay <= SECOND, "seed {seed}: {delay:?}");
            quarters[(delay.as_secs_f64() * 4.0) as usize] += 1;
        }
        assert!(quarters.iter().all(|count| (850..1_150).contains(count)), "{quarters:?}");
    }

    #[test]
    fn once_spread_over_the_widest_window_delays_keep_to_its_upper_third() {
        for seed in 0..1_000 {
            let mut delays = RetryPolicy::default().with_seed(seed).delays();
            let first_at_cap = delays.nth(5).unwrap();
            assert!(first_at_cap <= 30 * SECOND, "seed {seed}");
            for delay in delays.by_ref().take(5) {
                assert!((20 * SECOND..=30 * SECOND).contains(&delay), "seed {seed}: {delay:?}");
            }
            delays.reset();
            assert!(delays.next().unwrap() <= SECOND, "seed {seed}");
        }
    }

    #[test]
    fn without_a_seed_two_clients_do_not_dial_together() {
        let policy = RetryPolicy::default();
        assert_ne!(policy.delays().next(), policy.delays().next());
    }

    #[test]
    fn a_window_too_wide_for_its_type_stays_at_the_cap() {
        let mut delays = RetryPolicy::new(Duration::MAX / 2, Duration::MAX).with_seed(3).delays();
        delays.next();
        delays.next();
        assert_eq!(delays.window(), Duration::MAX);
    }
}
