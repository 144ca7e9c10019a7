//! The supervisor's rules, one by one.

use super::*;
use crate::{Breaker, Budget};

const SECOND: Duration = Duration::from_secs(1);

fn supervisor(policy: RetryPolicy, now: Instant) -> Supervisor {
    Supervisor::new(policy.with_seed(5), VendorLimits::default(), now)
}

/// The dial succeeds, and the peer is ready at once.
fn connect(supervisor: &mut Supervisor, now: Instant) {
    supervisor.on_connected();
    supervisor.on_proof(now, LinkProof::Ready);
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
        connect(&mut supervisor, dialled);
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
    connect(&mut supervisor, now);
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
    let mut supervisor = Supervisor::new(RetryPolicy::default().with_seed(1), limits.clone(), now + SECOND);
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
    connect(&mut supervisor, now);
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
fn an_idle_end_is_free_unless_something_waits_for_a_link() {
    let start = Instant::now();
    for end in [LinkEnd::Clean, LinkEnd::Ours] {
        for (hurry, spent) in [(false, 0), (true, 1)] {
            let mut supervisor = supervisor(RetryPolicy::default(), start);
            supervisor.poll(start);
            connect(&mut supervisor, start);
            let ended = start + 300 * SECOND;
            supervisor.on_lost(ended, end);
            if hurry {
                supervisor.hurry(ended);
                assert_eq!(supervisor.poll(ended), Next::Dial, "{end:?}");
            } else {
                assert!(dial(&mut supervisor, ended).unwrap() <= ended + SECOND, "{end:?}");
            }
            assert_eq!(supervisor.limits.spent(), spent, "{end:?}, {hurry}");
        }
    }
}

#[test]
fn a_vendor_that_closes_after_each_piece_of_work_is_dialled_at_once_and_free() {
    let mut now = Instant::now();
    let mut supervisor = supervisor(RetryPolicy::default(), now);
    for _ in 0..50 {
        assert_eq!(supervisor.poll(now), Next::Dial);
        supervisor.on_connected();
        supervisor.on_proof(now, LinkProof::Useful);
        now += SECOND / 4;
        supervisor.on_lost(now, LinkEnd::Clean);
    }
    assert_eq!(supervisor.limits.spent(), 0);
}

/// A gateway whose machinery behind is down accepts every link, keeps it open, and never says `ready`.
#[test]
fn a_link_that_was_never_ready_counts_as_a_failed_dial_however_old() {
    let start = Instant::now();
    let limits = VendorLimits::new(Budget::default(), Breaker::new(8, SECOND));
    let mut supervisor =
        Supervisor::new(RetryPolicy::default().with_seed(4).with_max_attempts(7), limits.clone(), start);
    let (mut now, mut waits) = (start, Vec::new());
    while let Some(dialled) = dial(&mut supervisor, now) {
        waits.push(dialled - now);
        supervisor.on_connected();
        now = dialled + 10 * SECOND;
        supervisor.on_proof(now, LinkProof::Opened);
        assert_eq!(supervisor.poll(now), Next::Idle, "age alone proves nothing");
        supervisor.on_lost(now, LinkEnd::Ours);
    }
    assert_eq!(waits.len(), 8);
    assert_eq!(supervisor.delays.window(), 30 * SECOND, "{waits:?}");
    assert_eq!(limits.spent(), 7, "every redial is paid for");
    assert!(limits.is_open());
}

#[test]
fn a_link_must_stay_ready_to_prove_good() {
    let start = Instant::now();
    for (ready_for, spent_windows) in [(1, true), (3, false)] {
        let mut supervisor = supervisor(RetryPolicy::default(), start);
        supervisor.poll(start);
        supervisor.on_failure(start, Retry::AfterBackoff);
        let dialled = dial(&mut supervisor, start).unwrap();
        supervisor.on_connected();
        // Long open, but ready only late.
        let ready = dialled + 60 * SECOND;
        supervisor.on_proof(ready, LinkProof::Ready);
        supervisor.on_lost(ready + ready_for * SECOND, LinkEnd::Lost);
        assert_eq!(supervisor.attempts() > 1, spent_windows, "ready for {ready_for} s");
    }
}

#[test]
fn one_sessions_stated_wait_holds_all_of_them_and_their_first_dials() {
    let start = Instant::now();
    let limits = VendorLimits::new(Budget::new(1, 10.0), Breaker::default());
    let new = |seed| Supervisor::new(RetryPolicy::default().with_seed(seed), limits.clone(), start);
    let mut told = new(0);
    told.poll(start);
    told.on_failure(start, Retry::After(40 * SECOND));
    let mut dials: Vec<Instant> = (1..=50).map(|seed| dial(&mut new(seed), start).unwrap()).collect();
    dials.sort_unstable();
    assert!(dials[0] >= start + 40 * SECOND, "{:?}", dials[0] - start);
    assert!(dials[49] <= start + 46 * SECOND, "{:?}", dials[49] - start);
    for pair in dials.windows(11) {
        assert!(pair[10] - pair[0] >= SECOND - SECOND / 10, "no more than the budget's ten a second");
    }
}

#[test]
fn a_wait_stated_on_a_live_link_holds_the_vendor_too() {
    let start = Instant::now();
    let limits = VendorLimits::default();
    let mut live = Supervisor::new(RetryPolicy::default().with_seed(1), limits.clone(), start);
    live.poll(start);
    connect(&mut live, start);
    live.on_hold(start + SECOND, 10 * SECOND);
    live.on_hold(start + SECOND, 5 * SECOND);
    let mut other = Supervisor::new(RetryPolicy::default().with_seed(2), limits, start);
    assert!(dial(&mut other, start + SECOND).unwrap() >= start + 11 * SECOND, "the longer wish counts");
}

#[test]
fn a_wait_no_clock_can_hold_is_cut() {
    let start = Instant::now();
    let mut supervisor = supervisor(RetryPolicy::default(), start);
    supervisor.poll(start);
    supervisor.on_failure(start, Retry::After(Duration::MAX));
    let Next::Wait(until) = supervisor.poll(start) else { panic!("no wait") };
    assert!(until >= start + 3_600 * SECOND);
}
