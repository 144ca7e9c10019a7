//! When to ping, and when a silent peer counts as gone: a value without a clock.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The measured round trip of a link, or of a connector's links, for whoever counts.
///
/// Clones read the same measurement, also after the link was given away.
///
/// ```
/// use voxline_transport::{Endpoint, WebSocketConnector};
///
/// let connector = WebSocketConnector::new(Endpoint::parse("ws://api.example.com/")?);
/// assert_eq!(connector.round_trip().get(), None); // no ping was answered yet
/// # Ok::<(), voxline_transport::EndpointError>(())
/// ```
#[derive(Clone, Default)]
pub struct RoundTrip(Arc<AtomicU64>);

impl RoundTrip {
    /// The smoothed time a ping takes to come back; `None` before the first pong.
    #[must_use]
    pub fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    pub(crate) fn set(&self, measured: Duration) {
        let micros = u64::try_from(measured.as_micros()).unwrap_or(u64::MAX);
        self.0.store(micros.max(1), Ordering::Relaxed);
    }
}

impl fmt::Debug for RoundTrip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RoundTrip").field(&self.get()).finish()
    }
}

/// The ping schedule of one link.
///
/// A ping goes out every interval. Whatever is heard from the peer, a pong or anything else,
/// answers it. One that is not answered in time is repeated, each time with twice the patience, and
/// after the allowed number of misses the peer is gone. The patience begins at the measured round
/// trip's, so that a link which answers in 30 ms is not waited on for long, and doubles because a
/// path that loses packets repeats them at doubling intervals: equal patience would run out before
/// the second repetition. All of it together is never longer than the interval, so a peer that goes
/// silent is noticed within two.
#[derive(Debug)]
pub(crate) struct Keepalive {
    interval: Duration,
    misses_allowed: u32,
    misses: u32,
    ping_at: Instant,
    /// When the last ping counts as missed; `None` once something was heard after it.
    deadline: Option<Instant>,
    last_heard: Instant,
    sequence: u64,
    /// Pings whose pong has not come, oldest first.
    unanswered: VecDeque<(u64, Instant)>,
    estimate: Option<Estimate>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Give up: nothing was heard for this long.
    Gone { silent: Duration },
    /// Nothing before [`Keepalive::poll_timeout`].
    Nothing,
    /// Send a ping with this payload.
    Ping([u8; 8]),
}

impl Keepalive {
    pub(crate) fn new(now: Instant, interval: Duration, misses_allowed: u32) -> Self {
        // Whoever pings less often than this pings never.
        let interval = interval.min(LONGEST_INTERVAL);
        Self {
            interval,
            misses_allowed: misses_allowed.max(1),
            misses: 0,
            ping_at: now + interval,
            deadline: None,
            last_heard: now,
            sequence: 0,
            unanswered: VecDeque::new(),
            estimate: None,
        }
    }

    /// Something arrived.
    pub(crate) fn handle_heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.deadline = None;
        self.misses = 0;
    }

    /// A pong arrived. One that answers no ping of ours is a sign of life and nothing more.
    pub(crate) fn handle_pong(&mut self, now: Instant, payload: &[u8]) {
        self.handle_heard(now);
        let sequence = <[u8; 8]>::try_from(payload).ok().map(u64::from_be_bytes);
        let found = self.unanswered.iter().position(|(sent, _)| Some(*sent) == sequence);
        if let Some((_, sent_at)) = found.and_then(|at| self.unanswered.drain(..=at).next_back()) {
            let sample = now.saturating_duration_since(sent_at);
            self.estimate = Some(Estimate::updated(self.estimate, sample));
        }
    }

    /// What is due by `now`. To be called only once the socket had nothing more to read.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        match self.deadline {
            Some(deadline) if now >= deadline => {
                self.misses += 1;
                if self.misses >= self.misses_allowed {
                    return Due::Gone { silent: now.saturating_duration_since(self.last_heard) };
                }
                self.ping(now)
            }
            None if now >= self.ping_at => self.ping(now),
            Some(_) | None => Due::Nothing,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.deadline.unwrap_or(self.ping_at)
    }

    /// The smoothed round trip, once a pong has come.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.estimate.map(|estimate| estimate.smoothed)
    }

    fn ping(&mut self, now: Instant) -> Due {
        self.sequence += 1;
        if self.unanswered.len() >= UNANSWERED_KEPT {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((self.sequence, now));
        self.deadline = Some(now + self.patience());
        if self.misses == 0 {
            self.ping_at = now + self.interval; // repetitions put nothing off
        }
        Due::Ping(self.sequence.to_be_bytes())
    }

    fn patience(&self) -> Duration {
        // Shares of 1, 2, 4, … of the interval, as many as there are misses, and one for lateness of our own.
        let longest = self.interval / 2u32.saturating_pow(self.misses_allowed);
        let first =
            self.estimate.map_or(longest, |estimate| estimate.patience().max(SHORTEST_PATIENCE).min(longest));
        first * 2u32.saturating_pow(self.misses)
    }
}

/// A smoothed round trip and its deviation: RFC 6298 §2.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    smoothed: Duration,
    deviation: Duration,
}

impl Estimate {
    fn updated(before: Option<Self>, sample: Duration) -> Self {
        match before {
            None => Self { smoothed: sample, deviation: sample / 2 },
            Some(Self { smoothed, deviation }) => Self {
                deviation: (deviation * 3 + smoothed.abs_diff(sample)) / 4,
                smoothed: (smoothed * 7 + sample) / 8,
            },
        }
    }

    fn patience(self) -> Duration {
        self.smoothed + self.deviation * 4
    }
}

/// A mobile link pauses for a few hundred milliseconds without being gone.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 86_400);
/// A pong later than this many pings measures nothing useful.
const UNANSWERED_KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use voxline_protocol::Dice;

    use super::*;
    use crate::WebSocketConfig;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Runs a schedule until the peer counts as gone; the peer answers after `latency` until `dies`.
    fn gone_after(latency: Duration, dies: Duration, misses: u32) -> Option<Duration> {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, INTERVAL, misses);
        let mut pongs: VecDeque<(Instant, [u8; 8])> = VecDeque::new();
        let mut now = start;
        while now < start + INTERVAL * 100 {
            let due = pongs.front().map(|(at, _)| *at);
            let next = keepalive.poll_timeout();
            now = due.map_or(next, |at| at.min(next)).max(now);
            while pongs.front().is_some_and(|(at, _)| *at <= now) {
                let (_, payload) = pongs.pop_front().unwrap();
                keepalive.handle_pong(now, &payload);
            }
            match keepalive.handle_timeout(now) {
                Due::Ping(payload) if now + latency / 2 < start + dies => {
                    pongs.push_back((now + latency, payload));
                }
                Due::Ping(_) | Due::Nothing => {}
                Due::Gone { .. } => return Some(now - start),
            }
        }
        None
    }

    #[test]
    fn a_peer_that_answers_is_never_gone() {
        for latency in [0, 1, 50, 400, 900, 4_000] {
            assert_eq!(gone_after(ms(latency), Duration::MAX / 4, 2), None, "{latency} ms");
        }
    }

    #[test]
    fn a_fast_link_that_dies_is_noticed_soon_after_the_next_ping() {
        let noticed = gone_after(ms(30), ms(30_001), 2).unwrap();
        assert!(noticed <= ms(40_000) + SHORTEST_PATIENCE * 2, "{noticed:?}");
    }

    #[test]
    fn patience_doubles_with_each_miss_and_is_never_more_than_the_interval() {
        for (latency, first) in [(None, INTERVAL / 16), (Some(ms(30)), SHORTEST_PATIENCE)] {
            let start = Instant::now();
            let mut keepalive = Keepalive::new(start, INTERVAL, 4);
            let mut asked = start + INTERVAL;
            if let Some(latency) = latency {
                let Due::Ping(payload) = keepalive.handle_timeout(asked) else { panic!("no ping") };
                keepalive.handle_pong(asked + latency, &payload);
                asked += INTERVAL;
            }
            assert!(matches!(keepalive.handle_timeout(asked), Due::Ping(_)));
            let mut waits = Vec::new();
            let gone = loop {
                let (before, next) = (asked, keepalive.poll_timeout());
                waits.push(next - before);
                asked = next;
                if let Due::Gone { silent } = keepalive.handle_timeout(asked) {
                    break silent;
                }
            };
            assert_eq!(waits, [first, first * 2, first * 4, first * 8]);
            assert!(gone <= INTERVAL * 2);
        }
    }

    #[test]
    fn pongs_nobody_asked_for_are_signs_of_life_and_no_measurement() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, INTERVAL, 2);
        keepalive.handle_pong(start, b"unasked");
        assert_eq!(keepalive.round_trip(), None);
    }

    #[test]
    fn a_round_trip_is_measured_even_when_the_ping_was_repeated() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, INTERVAL, 2);
        let Due::Ping(first) = keepalive.handle_timeout(start + INTERVAL) else { panic!("no ping") };
        let repeated = keepalive.poll_timeout();
        assert!(matches!(keepalive.handle_timeout(repeated), Due::Ping(_)));
        keepalive.handle_pong(repeated + ms(1), &first);
        assert_eq!(keepalive.round_trip(), Some(repeated + ms(1) - (start + INTERVAL)));
    }

    /// One direction of a path that loses 3 % of its packets and delays each by up to 300 ms. TCP loses
    /// nothing: it repeats after its timeout (RFC 6298, with the 200 ms floor of Linux), which doubles with
    /// each packet lost in a row, and delivers in order.
    struct BadPath {
        dice: Dice,
        arrived: Instant,
    }

    impl BadPath {
        const LOSS: f64 = 0.03;
        const JITTER: Duration = Duration::from_millis(300);
        const RETRANSMIT: Duration = Duration::from_millis(740);

        fn deliver(&mut self, sent: Instant) -> Instant {
            let (mut delay, mut timeout) =
                (self.dice.between(ms(20), ms(20) + Self::JITTER), Self::RETRANSMIT);
            while self.dice.unit() < Self::LOSS {
                delay += timeout;
                timeout *= 2;
            }
            self.arrived = self.arrived.max(sent + delay);
            self.arrived
        }
    }

    /// Runs a schedule over a bad path both ways for `hours`; false once the living peer counts as gone.
    fn survives(seed: u64, interval: Duration, hours: u32) -> bool {
        let start = Instant::now();
        let end = start + Duration::from_secs(3_600) * hours;
        let mut keepalive = Keepalive::new(start, interval, WebSocketConfig::new().ping_misses);
        let mut there = BadPath { dice: Dice::new(seed), arrived: start };
        let mut back = BadPath { dice: Dice::new(!seed), arrived: start };
        let mut pongs: VecDeque<(Instant, [u8; 8])> = VecDeque::new();
        let mut now = start;
        while now < end {
            let next = keepalive.poll_timeout();
            now = pongs.front().map_or(next, |(at, _)| next.min(*at)).max(now);
            while pongs.front().is_some_and(|(at, _)| *at <= now) {
                let (_, payload) = pongs.pop_front().unwrap();
                keepalive.handle_pong(now, &payload);
            }
            match keepalive.handle_timeout(now) {
                Due::Ping(payload) => pongs.push_back((back.deliver(there.deliver(now)), payload)),
                Due::Nothing => {}
                Due::Gone { .. } => return false,
            }
        }
        true
    }

    /// Pinged every 20 s, as the speech gateway's own clients do.
    #[test]
    fn loss_and_jitter_are_no_false_alarm_in_ten_thousand_hours() {
        for seed in 0..100 {
            assert!(survives(seed, Duration::from_secs(20), 100), "seed {seed}: an alarm within 100 hours");
        }
    }

    proptest! {
        #[test]
        fn silence_is_noticed_within_two_intervals(latency in 0u64..4_000, dies in 0u64..60_000, misses in 1u32..6) {
            prop_assume!(u128::from(latency) * u128::from(misses) < INTERVAL.as_millis());
            let noticed = gone_after(ms(latency), ms(dies), misses).unwrap();
            prop_assert!(noticed <= ms(dies) + INTERVAL * 2, "{noticed:?} after {dies} ms");
        }
    }
}
