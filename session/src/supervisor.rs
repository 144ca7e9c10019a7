//! When to dial, wait, or give up: the life of a session's links as a pure machine.

use std::time::{Duration, Instant};

use voxline_protocol::CloseFrame;
use voxline_transport::Retry;

use crate::{Delays, RetryPolicy, VendorLimits};

/// Decides when a session's link is dialled. Connects nothing and reads no clock.
///
/// Ask [`poll`](Self::poll) what to do, do it, and report what came of it. Windows and attempts
/// start over only once a link has proved good, by living for
/// [`good_after`](RetryPolicy::good_after) or by doing its work; a link that dies before counts as
/// a failed dial.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_session::{Next, RetryPolicy, Supervisor, VendorLimits};
/// use voxline_transport::Retry;
///
/// let now = Instant::now();
/// let mut supervisor = Supervisor::new(RetryPolicy::default(), VendorLimits::default(), now);
/// assert_eq!(supervisor.poll(now), Next::Dial);
/// supervisor.on_failure(now, Retry::After(Duration::from_secs(9)));
/// assert!(matches!(supervisor.poll(now), Next::Wait(until) if until >= now + Duration::from_secs(9)));
/// ```
#[derive(Debug)]
pub struct Supervisor {
    policy: RetryPolicy,
    limits: VendorLimits,
    delays: Delays,
    state: State,
    /// Redials since a link last proved good.
    attempts: u32,
    /// Since when there has been no proved link.
    down_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { until: Instant, cost: Cost },
    Connecting,
    Live { since: Instant, good: Good },
    Dead,
}

/// What a live link has shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    NotYet,
    /// It has lived long enough.
    Proved,
    /// It has done what it was opened for.
    Worked,
}

/// What the next dial takes from the vendor's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// Nothing: a first dial, or the wait for the token is what we are waiting out.
    None,
    /// Nothing as long as nobody is in a hurry: the link before was closed in order.
    Idle,
    Token,
}

/// What a [`Supervisor`] wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever runs a supervisor must follow every instruction")]
pub enum Next {
    /// Dial now, then report `on_connected` or `on_failure`.
    Dial,
    /// Nothing before this instant; ask again then.
    Wait(Instant),
    /// A dial or a proved link is under way; ask again once something has happened.
    Idle,
    /// Over. No further dial will be asked for.
    GiveUp,
}

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a closed list: who ended it, and how")]
pub enum LinkEnd {
    /// The peer closed it in order: code 1000, or 1001 for going away.
    Clean,
    /// It broke, or was closed for a fault.
    Lost,
    /// We closed it, to go on over a fresh one.
    Ours,
}

impl LinkEnd {
    /// What a close frame from the peer says about the end.
    #[must_use]
    pub fn by_peer(frame: Option<&CloseFrame>) -> Self {
        match frame {
            Some(frame) if frame.code == CloseFrame::NORMAL || frame.code == GOING_AWAY => Self::Clean,
            Some(_) | None => Self::Lost,
        }
    }
}

impl Supervisor {
    /// A supervisor that wants its first dial now.
    #[must_use]
    pub fn new(policy: RetryPolicy, limits: VendorLimits, now: Instant) -> Self {
        let delays = policy.delays();
        let state = State::Waiting { until: now, cost: Cost::None };
        Self { policy, limits, delays, state, attempts: 0, down_since: Some(now) }
    }

    /// What to do at `now`. To be asked after every report, and at the instant of the last [`Next::Wait`].
    pub fn poll(&mut self, now: Instant) -> Next {
        match self.state {
            State::Waiting { until, cost } if until <= now => self.dial_or_wait(now, cost),
            State::Waiting { until, .. } => Next::Wait(until),
            State::Live { since, good: Good::NotYet } => {
                let good_at = since + self.policy.good_after;
                if now < good_at {
                    return Next::Wait(good_at);
                }
                self.on_good(since, Good::Proved);
                Next::Idle
            }
            State::Connecting | State::Live { good: Good::Proved | Good::Worked, .. } => Next::Idle,
            State::Dead => Next::GiveUp,
        }
    }

    /// The dial succeeded.
    pub fn on_connected(&mut self, now: Instant) {
        self.state = State::Live { since: now, good: Good::NotYet };
    }

    /// The link has done what it was opened for, so it is good however young.
    pub fn on_work(&mut self) {
        if let State::Live { since, .. } = self.state {
            self.on_good(since, Good::Worked);
        }
    }

    /// The dial failed; `retry` is [`TransportError::retry`](voxline_transport::TransportError::retry).
    pub fn on_failure(&mut self, now: Instant, retry: Retry) {
        match retry {
            Retry::Never => {
                // A vendor that refuses us is up: it must not hold back the others.
                self.limits.lock().breaker.on_success();
                self.state = State::Dead;
            }
            Retry::After(stated) => self.on_vain(now, stated),
            Retry::AfterBackoff => self.on_vain(now, Duration::ZERO),
        }
    }

    /// The link ended.
    pub fn on_lost(&mut self, now: Instant, end: LinkEnd) {
        if let State::Live { since, good } = self.state
            && (good != Good::NotYet || now >= since + self.policy.good_after)
        {
            self.on_good(since, good);
            self.down_since = Some(now);
            match end {
                // Some vendors close after each piece of work, and the next one is waiting.
                LinkEnd::Clean if good == Good::Worked => self.redial(now, now, Cost::None),
                LinkEnd::Clean => self.redial_after_backoff(now, Duration::ZERO, Cost::Idle),
                LinkEnd::Lost => self.redial_after_backoff(now, Duration::ZERO, Cost::Token),
                LinkEnd::Ours => self.redial(now, now, Cost::Token),
            }
        } else {
            self.on_vain(now, Duration::ZERO);
        }
    }

    /// There is work for the link now: a wait that only served to bring an idle link back is cut short.
    pub fn hurry(&mut self, now: Instant) {
        if let State::Waiting { until, cost: Cost::Idle } = self.state {
            self.state = State::Waiting { until: until.min(now), cost: Cost::Token };
        }
    }

    /// Redials since a link last proved good.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long there has been no link that proved good.
    #[must_use]
    pub fn down_for(&self, now: Instant) -> Duration {
        self.down_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The wait is over: dials, unless the vendor's limits say to wait longer.
    fn dial_or_wait(&mut self, now: Instant, cost: Cost) -> Next {
        let mut limits = self.limits.lock();
        if !limits.breaker.admit(now) {
            drop(limits);
            // Windows grow as if we had dialled, so that nobody storms the vendor once it is back.
            let delay = self.next_delay();
            self.wait(now, now + delay, cost);
            return self.poll_waiting();
        }
        let for_token = if cost == Cost::Token { limits.budget.reserve(now) } else { Duration::ZERO };
        drop(limits);
        if for_token.is_zero() {
            self.state = State::Connecting;
            return Next::Dial;
        }
        self.wait(now, now + for_token, Cost::None);
        self.poll_waiting()
    }

    fn poll_waiting(&self) -> Next {
        match self.state {
            State::Waiting { until, .. } => Next::Wait(until),
            State::Dead => Next::GiveUp,
            State::Connecting | State::Live { .. } => Next::Idle,
        }
    }

    /// A dial failed, or its link died before it proved good.
    fn on_vain(&mut self, now: Instant, stated: Duration) {
        self.limits.lock().breaker.on_failure(now);
        self.redial_after_backoff(now, stated, Cost::Token);
    }

    fn on_good(&mut self, since: Instant, good: Good) {
        self.state = State::Live { since, good };
        self.limits.lock().breaker.on_success();
        self.delays.reset();
        self.attempts = 0;
        self.down_since = None;
    }

    fn redial_after_backoff(&mut self, now: Instant, stated: Duration, cost: Cost) {
        // Jitter is added to a stated wait: everybody was told the same number.
        let delay = self.next_delay();
        self.redial(now, now + stated + delay, cost);
    }

    fn redial(&mut self, now: Instant, at: Instant, cost: Cost) {
        if self.policy.max_attempts.is_some_and(|most| self.attempts >= most) {
            self.state = State::Dead;
        } else {
            self.attempts += 1;
            self.wait(now, at, cost);
        }
    }

    fn wait(&mut self, now: Instant, until: Instant, cost: Cost) {
        let since = *self.down_since.get_or_insert(now);
        let too_long = self.policy.give_up_after.is_some_and(|most| until > since + most);
        self.state = if too_long { State::Dead } else { State::Waiting { until, cost } };
    }

    fn next_delay(&mut self) -> Duration {
        let Some(delay) = self.delays.next() else {
            unreachable!("`Delays::next` returns `Some` on its every path")
        };
        delay
    }
}

const GOING_AWAY: u16 = 1001; // RFC 6455 §7.4.1

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Breaker, Budget};

    const SECOND: Duration = Duration::from_secs(1);

    fn supervisor(policy: RetryPolicy, now: Instant) -> Supervisor {
        Supervisor::new(policy.with_seed(5), VendorLimits::default(), now)
    }

    /// Follows every wait until the supervisor dials, and returns when.
    fn dial(supervisor: &mut Supervisor, mut now: Instant) -> Option<Instant> {
        loop {
            match supervisor.poll(now) {
                Next::Dial => return Some(now),
                Next::Wait(until) => now = until,
                Next::Idle => panic!("idle"),
                Next::GiveUp => return None,
            }
        }
    }

    #[test]
    fn instant_deaths_back_off_like_failed_dials() {
        let mut now = Instant::now();
        let mut supervisor = supervisor(RetryPolicy::default().with_max_attempts(6), now);
        let mut deaths = 0;
        while let Some(dialled) = dial(&mut supervisor, now) {
            now = dialled + SECOND / 2;
            supervisor.on_connected(dialled);
            supervisor.on_lost(now, LinkEnd::Clean);
            deaths += 1;
        }
        assert_eq!(deaths, 7);
        assert_eq!(supervisor.delays.window(), 30 * SECOND);
    }

    #[test]
    fn a_link_that_proved_good_starts_the_windows_over() {
        let mut now = Instant::now();
        let mut supervisor = supervisor(RetryPolicy::default(), now);
        for _ in 0..6 {
            now = dial(&mut supervisor, now).unwrap();
            supervisor.on_failure(now, Retry::AfterBackoff);
        }
        now = dial(&mut supervisor, now).unwrap();
        supervisor.on_connected(now);
        assert_eq!(supervisor.poll(now), Next::Wait(now + 2 * SECOND));
        assert_eq!(supervisor.attempts(), 6);
        now += 2 * SECOND;
        assert_eq!(supervisor.poll(now), Next::Idle);
        assert_eq!(supervisor.attempts(), 0);
        supervisor.on_lost(now + SECOND, LinkEnd::Lost);
        assert!(dial(&mut supervisor, now + SECOND).unwrap() <= now + 2 * SECOND);
    }

    #[test]
    fn a_refusal_is_final_and_shows_the_vendor_is_up() {
        let now = Instant::now();
        let limits = VendorLimits::new(Budget::default(), Breaker::new(1, SECOND));
        limits.lock().breaker.on_failure(now);
        let mut supervisor =
            Supervisor::new(RetryPolicy::default().with_seed(1), limits.clone(), now + SECOND);
        assert_eq!(supervisor.poll(now + SECOND), Next::Dial);
        supervisor.on_failure(now + SECOND, Retry::Never);
        assert_eq!(supervisor.poll(now + 100 * SECOND), Next::GiveUp);
        assert!(!limits.is_open());
    }

    #[test]
    fn a_stated_wait_wins_over_backoff() {
        for seed in 0..100 {
            let now = Instant::now();
            let mut supervisor = supervisor(RetryPolicy::default().with_seed(seed), now);
            supervisor.poll(now);
            supervisor.on_failure(now, Retry::After(17 * SECOND));
            let dialled = dial(&mut supervisor, now).unwrap() - now;
            assert!((17 * SECOND..=18 * SECOND).contains(&dialled), "seed {seed}: {dialled:?}");
        }
    }

    #[test]
    fn a_wait_past_the_last_moment_gives_up_at_once() {
        let now = Instant::now();
        let mut supervisor = supervisor(RetryPolicy::default().with_give_up_after(20 * SECOND), now);
        supervisor.poll(now);
        supervisor.on_failure(now, Retry::After(3_600 * SECOND));
        assert_eq!(supervisor.poll(now), Next::GiveUp);
    }

    #[test]
    fn without_attempts_a_lost_link_is_the_end() {
        let now = Instant::now();
        let mut supervisor = supervisor(RetryPolicy::never(), now);
        assert_eq!(supervisor.poll(now), Next::Dial);
        supervisor.on_connected(now);
        supervisor.on_lost(now + 9 * SECOND, LinkEnd::Lost);
        assert_eq!(supervisor.poll(now + 9 * SECOND), Next::GiveUp);
    }

    #[test]
    fn an_open_breaker_widens_the_windows_without_counting_attempts() {
        let start = Instant::now();
        let limits = VendorLimits::new(Budget::default(), Breaker::new(1, 60 * SECOND));
        let mut supervisor = Supervisor::new(RetryPolicy::default().with_seed(2), limits, start);
        supervisor.poll(start);
        supervisor.on_failure(start, Retry::AfterBackoff);
        let dialled = dial(&mut supervisor, start).unwrap();
        assert!(dialled >= start + 60 * SECOND);
        assert_eq!(supervisor.attempts(), 1);
        assert_eq!(supervisor.delays.window(), 30 * SECOND);
    }

    #[test]
    fn an_empty_budget_spaces_the_dials() {
        let start = Instant::now();
        let limits = VendorLimits::new(Budget::new(1, 2.0), Breaker::new(u32::MAX, SECOND));
        let mut dials: Vec<Instant> = (0..10)
            .map(|seed| {
                let policy = RetryPolicy::default().with_seed(seed);
                let mut supervisor = Supervisor::new(policy, limits.clone(), start);
                supervisor.poll(start);
                supervisor.on_failure(start, Retry::AfterBackoff);
                dial(&mut supervisor, start).unwrap()
            })
            .collect();
        dials.sort_unstable();
        for pair in dials.windows(2) {
            assert!(pair[1] - pair[0] >= SECOND / 4, "{dials:?}");
        }
        assert_eq!(limits.spent(), 10);
    }

    #[test]
    fn an_idle_close_is_free_unless_there_is_work() {
        let start = Instant::now();
        for (name, hurry, spent) in [("idle", false, 0), ("work", true, 1)] {
            let mut supervisor = supervisor(RetryPolicy::default(), start);
            supervisor.poll(start);
            supervisor.on_connected(start);
            let closed = start + 300 * SECOND;
            supervisor.on_lost(closed, LinkEnd::Clean);
            if hurry {
                supervisor.hurry(closed);
                assert_eq!(supervisor.poll(closed), Next::Dial, "{name}");
            } else {
                dial(&mut supervisor, closed).unwrap();
            }
            assert_eq!(supervisor.limits.spent(), spent, "{name}");
        }
    }

    #[test]
    fn a_vendor_that_closes_after_each_piece_of_work_is_dialled_at_once_and_free() {
        let mut now = Instant::now();
        let mut supervisor = supervisor(RetryPolicy::default(), now);
        for _ in 0..50 {
            assert_eq!(supervisor.poll(now), Next::Dial);
            supervisor.on_connected(now);
            supervisor.on_work();
            now += SECOND / 4;
            supervisor.on_lost(now, LinkEnd::Clean);
        }
        assert_eq!(supervisor.limits.spent(), 0);
    }

    #[test]
    fn a_link_we_gave_up_is_replaced_at_once() {
        let start = Instant::now();
        let mut supervisor = supervisor(RetryPolicy::default(), start);
        supervisor.poll(start);
        supervisor.on_connected(start);
        supervisor.on_lost(start + 9 * SECOND, LinkEnd::Ours);
        assert_eq!(supervisor.poll(start + 9 * SECOND), Next::Dial);
    }
}
