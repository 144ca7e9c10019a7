//! When to dial, wait, or give up: the life of a session's links as a pure machine.

use std::time::{Duration, Instant};

use voxline_protocol::{CloseFrame, LinkProof};
use voxline_transport::Retry;

use crate::limits::later;
use crate::{Delays, RetryPolicy, VendorLimits};

/// Decides when a session's link is dialled. Connects nothing and reads no clock.
///
/// Ask [`poll`](Self::poll) what to do, do it, and report what came of it. Windows and attempts
/// start over only once a link has proved good, by staying ready for
/// [`good_after`](RetryPolicy::good_after) or by doing its work; a link that ends before counts as
/// a failed dial, however long it was open.
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
    Live(Shown),
    Dead,
}

/// What a live link has shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Opened,
    Ready {
        since: Instant,
    },
    /// It stayed ready for long enough.
    Good,
    /// It has done what it was opened for.
    Useful,
}

/// What the next dial takes from the vendor's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// Nothing: a first dial, or the wait for the token is what we are waiting out.
    None,
    /// Nothing as long as nobody is in a hurry: the link before was no failure.
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
            State::Live(Shown::Ready { since }) => {
                let good_at = later(since, self.policy.good_after);
                if now < good_at {
                    return Next::Wait(good_at);
                }
                self.on_good(Shown::Good);
                Next::Idle
            }
            State::Connecting | State::Live(Shown::Opened | Shown::Good | Shown::Useful) => Next::Idle,
            State::Dead => Next::GiveUp,
        }
    }

    /// The dial succeeded.
    pub const fn on_connected(&mut self) {
        self.state = State::Live(Shown::Opened);
    }

    /// The link that is up has shown this, or still shows it.
    pub fn on_proof(&mut self, now: Instant, proof: LinkProof) {
        match (self.state, proof) {
            (State::Live(Shown::Opened), LinkProof::Ready) => {
                self.state = State::Live(Shown::Ready { since: now });
            }
            (State::Live(Shown::Opened | Shown::Ready { .. } | Shown::Good), LinkProof::Useful) => {
                self.on_good(Shown::Useful);
            }
            (State::Live(_), LinkProof::Opened | LinkProof::Ready | LinkProof::Useful)
            | (State::Connecting | State::Dead | State::Waiting { .. }, _) => {}
        }
    }

    /// The peer asked to be left alone for so long: by nobody is it dialled sooner.
    pub fn on_hold(&mut self, now: Instant, stated: Duration) {
        self.limits.lock().hold(later(now, stated));
    }

    /// The dial failed; `retry` is [`TransportError::retry`](voxline_transport::TransportError::retry).
    pub fn on_failure(&mut self, now: Instant, retry: Retry) {
        match retry {
            Retry::Never => {
                // A vendor that refuses us is up: it must not hold back the others.
                self.limits.lock().breaker.on_success();
                self.state = State::Dead;
            }
            Retry::After(stated) => {
                self.on_hold(now, stated);
                self.on_vain(now, stated);
            }
            Retry::AfterBackoff => self.on_vain(now, Duration::ZERO),
        }
    }

    /// The link ended.
    pub fn on_lost(&mut self, now: Instant, end: LinkEnd) {
        let shown = match self.state {
            State::Live(Shown::Ready { since }) if now >= later(since, self.policy.good_after) => Shown::Good,
            State::Live(shown @ (Shown::Good | Shown::Useful)) => shown,
            State::Live(Shown::Opened | Shown::Ready { .. })
            | State::Connecting
            | State::Dead
            | State::Waiting { .. } => return self.on_vain(now, Duration::ZERO),
        };
        self.on_good(shown);
        self.down_since = Some(now);
        match end {
            // Some vendors close after each piece of work, and the next one is waiting.
            LinkEnd::Clean if shown == Shown::Useful => self.redial(now, now, Cost::None),
            LinkEnd::Clean | LinkEnd::Ours => self.redial_after_backoff(now, Duration::ZERO, Cost::Idle),
            LinkEnd::Lost => self.redial_after_backoff(now, Duration::ZERO, Cost::Token),
        }
    }

    /// Something waits for a link: a wait that only served to bring an idle one back is cut short.
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
        if let Some(held_until) = limits.held_until(now) {
            drop(limits);
            // Everybody waits for the same moment: jitter and the budget keep them apart after it.
            let delay = self.next_delay();
            self.wait(now, later(held_until, delay), Cost::Token);
            return self.poll_waiting();
        }
        if !limits.breaker.admit(now) {
            drop(limits);
            // Windows grow as if we had dialled, so that nobody storms the vendor once it is back.
            let delay = self.next_delay();
            self.wait(now, later(now, delay), cost);
            return self.poll_waiting();
        }
        let for_token = if cost == Cost::Token { limits.budget.reserve(now) } else { Duration::ZERO };
        drop(limits);
        if for_token.is_zero() {
            self.state = State::Connecting;
            return Next::Dial;
        }
        self.wait(now, later(now, for_token), Cost::None);
        self.poll_waiting()
    }

    fn poll_waiting(&self) -> Next {
        match self.state {
            State::Waiting { until, .. } => Next::Wait(until),
            State::Dead => Next::GiveUp,
            State::Connecting | State::Live(_) => Next::Idle,
        }
    }

    /// A dial failed, or its link died before it proved good.
    fn on_vain(&mut self, now: Instant, stated: Duration) {
        self.limits.lock().breaker.on_failure(now);
        self.redial_after_backoff(now, stated, Cost::Token);
    }

    fn on_good(&mut self, shown: Shown) {
        self.state = State::Live(shown);
        self.limits.lock().breaker.on_success();
        self.delays.reset();
        self.attempts = 0;
        self.down_since = None;
    }

    fn redial_after_backoff(&mut self, now: Instant, stated: Duration, cost: Cost) {
        // Jitter is added to a stated wait: everybody was told the same number.
        let delay = self.next_delay();
        self.redial(now, later(later(now, stated), delay), cost);
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
        let too_long = self.policy.give_up_after.is_some_and(|most| until > later(since, most));
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
mod tests;
