//! Proves that a fleet which loses its vendor at one instant comes back without striking it down again.

mod support;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use voxline_protocol::LinkProof;
use voxline_session::{Breaker, Budget, LinkEnd, Next, RetryPolicy, Supervisor, VendorLimits};
use voxline_transport::Retry;

use support::{Random, heavy, print_seed};

const CLIENTS: usize = 10_000;
const SECOND: Duration = Duration::from_secs(1);
const OUTAGE: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(180);

/// Every client is a supervisor and nothing else; the vendor is an interval in which dials fail.
struct Fleet {
    start: Instant,
    clients: Vec<Supervisor>,
    random: Random,
    due: BinaryHeap<Reverse<(Instant, usize, Step)>>,
    dials: Vec<Duration>,
    back: Vec<Option<Duration>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Ask,
    Dialled { up: bool },
}

impl Fleet {
    /// Clients that have had a good link for a minute, in so many processes that share limits.
    fn new(seed: u64, processes: usize, limits: impl Fn() -> VendorLimits) -> Self {
        let start = Instant::now() + 3_600 * SECOND;
        let limits: Vec<VendorLimits> = (0..processes).map(|_| limits()).collect();
        let before = start - 60 * SECOND;
        let clients = (0..CLIENTS).map(|client| {
            let policy = RetryPolicy::default().with_seed(seed * 1_000_000 + client as u64);
            let mut supervisor = Supervisor::new(policy, limits[client % processes].clone(), before);
            assert_eq!(supervisor.poll(before), Next::Dial);
            supervisor.on_connected();
            supervisor.on_proof(before, LinkProof::Ready);
            supervisor
        });
        Self {
            start,
            clients: clients.collect(),
            random: Random::new(seed),
            due: BinaryHeap::new(),
            dials: Vec::new(),
            back: vec![None; CLIENTS],
        }
    }

    fn lose_vendor(mut self) -> Outcome {
        for client in 0..CLIENTS {
            self.clients[client].on_lost(self.start, LinkEnd::Lost);
            self.ask(self.start, client);
        }
        while let Some(Reverse((now, client, step))) = self.due.pop() {
            if now > self.start + END {
                break;
            }
            match step {
                Step::Ask => {}
                Step::Dialled { up: true } => {
                    self.clients[client].on_connected();
                    self.clients[client].on_proof(now, LinkProof::Ready);
                    self.back[client].get_or_insert(now - self.start);
                }
                Step::Dialled { up: false } => self.clients[client].on_failure(now, Retry::AfterBackoff),
            }
            self.ask(now, client);
        }
        Outcome::new(&self.dials, &self.back)
    }

    fn ask(&mut self, now: Instant, client: usize) {
        match self.clients[client].poll(now) {
            Next::Dial => {
                let dialled = now - self.start;
                self.dials.push(dialled);
                let up = dialled >= OUTAGE;
                let took = if up {
                    20 + self.random.millis(200).as_millis()
                } else {
                    self.random.millis(50).as_millis()
                };
                let done = now + Duration::from_millis(took as u64);
                self.due.push(Reverse((done, client, Step::Dialled { up })));
            }
            Next::Wait(until) => self.due.push(Reverse((until, client, Step::Ask))),
            Next::Idle => {}
            Next::GiveUp => panic!("client {client} gave up"),
        }
    }
}

#[derive(Debug)]
struct Outcome {
    /// The worst second, and its dials as a multiple of clients / current window.
    worst: (usize, f64),
    /// Dials in the busiest second of all.
    peak: usize,
    /// From the vendor's return to the last client's.
    recovery: Duration,
    lost: usize,
}

impl Outcome {
    fn new(dials: &[Duration], back: &[Option<Duration>]) -> Self {
        let mut seconds = vec![0usize; END.as_secs() as usize + 2];
        for dial in dials {
            seconds[dial.as_secs() as usize] += 1;
        }
        let ratio = |second: usize| seconds[second] as f64 * window(second) / CLIENTS as f64;
        let worst_second = (0..seconds.len()).max_by(|a, b| ratio(*a).total_cmp(&ratio(*b))).unwrap_or(0);
        Self {
            worst: (worst_second, ratio(worst_second)),
            peak: seconds.iter().copied().max().unwrap_or(0),
            recovery: back.iter().flatten().max().map_or(Duration::ZERO, |last| *last - OUTAGE),
            lost: back.iter().filter(|back| back.is_none()).count(),
        }
    }
}

/// The narrowest window, in seconds, that a client can be in so long after the loss.
fn window(second: usize) -> f64 {
    match second {
        0 => 1.0,
        1..3 => 2.0,
        3..7 => 4.0,
        7..15 => 8.0,
        15..31 => 16.0,
        _ => 30.0,
    }
}

/// However the clients are spread over processes that share limits: in one, in some, each on its own.
#[test]
fn ten_thousand_clients_lose_their_vendor_and_come_back() {
    for seed in 0..heavy(2, 50) {
        print_seed(seed);
        for processes in [1, 10, 100, CLIENTS] {
            let outcome = Fleet::new(seed, processes, VendorLimits::default).lose_vendor();
            assert!(outcome.worst.1 <= 1.5, "{processes} processes: {outcome:?}");
            assert!(outcome.recovery <= 60 * SECOND, "{processes} processes: {outcome:?}");
            assert_eq!(outcome.lost, 0, "{processes} processes");
        }
    }
}

#[test]
fn one_process_never_dials_faster_than_its_budget() {
    let limits = || VendorLimits::new(Budget::new(50, 100.0), Breaker::new(u32::MAX, SECOND));
    let outcome = Fleet::new(1, 1, limits).lose_vendor();
    assert!(outcome.peak <= 150, "{outcome:?}");
}

#[test]
fn an_idle_night_spends_no_budget() {
    let limits = VendorLimits::default();
    let mut random = Random::new(1);
    let night = 8 * 3_600 * SECOND;
    for client in 0..100 {
        let start = Instant::now();
        let mut now = start;
        let policy = RetryPolicy::default().with_seed(client);
        let mut supervisor = Supervisor::new(policy, limits.clone(), now);
        while now < start + night {
            match supervisor.poll(now) {
                Next::Dial => {
                    supervisor.on_connected();
                    supervisor.on_proof(now, LinkProof::Ready);
                    now += 30 * SECOND + random.millis(300_000);
                    supervisor.on_lost(now, LinkEnd::Clean);
                }
                Next::Wait(until) => {
                    assert!(until <= now + SECOND, "client {client} backs off from a vendor that is well");
                    now = until;
                }
                Next::Idle | Next::GiveUp => panic!("client {client} stopped"),
            }
        }
    }
    assert_eq!(limits.spent(), 0);
}
