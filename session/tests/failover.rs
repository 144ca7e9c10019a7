//! Several candidates for one service: who is dialled, who is left alone, and what a failed round is told as (T16).
#![expect(clippy::unwrap_used, reason = "a test's helpers may unwrap as a test may")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use voxline_audio::AudioFormat;
use voxline_protocol::slng::{TtsClient, TtsConfig, TtsEvent};
use voxline_session::{Failover, Pool, PoolConfig, Session};
use voxline_transport::memory::{self, MemoryTransport};
use voxline_transport::{Connector, Retry, TransportError};

const SECOND: Duration = Duration::from_secs(1);

/// What a candidate answers, changed by the test as it goes.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Up,
    Down,
    Refuses(u16),
    Busy(u64),
}

/// Notes who was dialled.
#[derive(Debug, Clone)]
struct World {
    moods: Arc<Mutex<Vec<Mood>>>,
    dialled: Arc<Mutex<Vec<usize>>>,
}

#[derive(Debug)]
struct Candidate(usize, World);

impl Connector for Candidate {
    type Transport = MemoryTransport;

    async fn connect(&self) -> Result<MemoryTransport, TransportError> {
        self.1.dialled.lock().unwrap().push(self.0);
        let refused = |status, retry_after| {
            Err(TransportError::Refused { status, retry_after, body: "words".to_owned() })
        };
        let mood = self.1.moods.lock().unwrap()[self.0];
        match mood {
            Mood::Up => Ok(memory::pair(1).0),
            Mood::Down => Err(TransportError::Unreachable {
                authority: self.0.to_string(),
                source: io::ErrorKind::ConnectionRefused.into(),
            }),
            Mood::Refuses(status) => refused(status, None),
            Mood::Busy(seconds) => refused(429, Some(Duration::from_secs(seconds))),
        }
    }
}

impl World {
    fn new(moods: &[Mood]) -> (Self, Failover<Candidate>) {
        let world = Self { moods: Arc::new(Mutex::new(moods.to_vec())), dialled: Arc::default() };
        let mut candidates = (0..moods.len()).map(|index| Candidate(index, world.clone()));
        let failover = Failover::new(candidates.next().unwrap(), candidates);
        (world, failover)
    }

    fn set(&self, candidate: usize, mood: Mood) {
        self.moods.lock().unwrap()[candidate] = mood;
    }

    fn dialled(&self) -> Vec<usize> {
        std::mem::take(&mut self.dialled.lock().unwrap())
    }
}

async fn retry(failover: &Failover<Candidate>) -> Retry {
    failover.connect().await.unwrap_err().retry()
}

#[tokio::test(start_paused = true)]
async fn a_dead_favourite_costs_one_dial_until_it_has_cooled_down() {
    let (world, failover) = World::new(&[Mood::Down, Mood::Up, Mood::Up]);
    failover.connect().await.unwrap();
    assert_eq!(world.dialled(), [0, 1]);
    let clone = failover.clone();
    clone.connect().await.unwrap();
    assert_eq!(world.dialled(), [1], "clones know what one has learned");

    world.set(0, Mood::Up);
    advance(30 * SECOND).await;
    failover.connect().await.unwrap();
    assert_eq!(world.dialled(), [0], "the favourite again");
}

#[tokio::test(start_paused = true)]
async fn cooling_candidates_are_asked_last_and_the_longest_rested_first() {
    let (world, failover) = World::new(&[Mood::Up, Mood::Down, Mood::Down]);
    world.set(0, Mood::Down);
    assert_eq!(retry(&failover).await, Retry::AfterBackoff);
    assert_eq!(world.dialled(), [0, 1, 2]);
    advance(SECOND).await;
    world.set(1, Mood::Up);
    failover.connect().await.unwrap();
    assert_eq!(world.dialled(), [0, 1], "all are cooling, so all are tried");
    world.set(1, Mood::Down);
    advance(SECOND).await;
    assert_eq!(retry(&failover).await, Retry::AfterBackoff);
    assert_eq!(world.dialled(), [1, 2, 0], "the rested, then by the end of the rest");
}

#[tokio::test(start_paused = true)]
async fn whoever_states_a_wait_is_left_alone_for_it() {
    let (world, failover) = World::new(&[Mood::Busy(60), Mood::Down]);
    assert_eq!(retry(&failover).await, Retry::AfterBackoff, "the other may be back sooner");
    assert_eq!(world.dialled(), [0, 1]);
    advance(59 * SECOND).await;
    assert_eq!(retry(&failover).await, Retry::AfterBackoff);
    assert_eq!(world.dialled(), [1]);
    advance(SECOND).await;
    world.set(0, Mood::Up);
    failover.connect().await.unwrap();
    assert_eq!(world.dialled(), [0]);
}

#[tokio::test(start_paused = true)]
async fn when_all_state_waits_nobody_is_dialled_before_the_shortest_is_over() {
    let (world, failover) = World::new(&[Mood::Busy(60), Mood::Busy(20)]);
    let begun = Instant::now();
    assert_eq!(retry(&failover).await, Retry::After(20 * SECOND));
    assert_eq!(world.dialled(), [0, 1]);
    advance(5 * SECOND).await;
    assert_eq!(retry(&failover).await, Retry::After(15 * SECOND));
    assert_eq!(world.dialled(), [0usize; 0]);
    advance(15 * SECOND).await;
    world.set(1, Mood::Up);
    failover.connect().await.unwrap();
    assert_eq!((world.dialled(), begun.elapsed()), (vec![1], 20 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn only_a_refusal_by_all_is_final() {
    let (world, failover) = World::new(&[Mood::Refuses(401), Mood::Down]);
    assert_eq!(retry(&failover).await, Retry::AfterBackoff);
    world.set(1, Mood::Refuses(403));
    assert_eq!(retry(&failover).await, Retry::Never);
}

#[tokio::test(start_paused = true)]
async fn sessions_and_pools_dial_it_like_any_way_to_a_service() {
    let (world, failover) = World::new(&[Mood::Down, Mood::Up]);
    let machine = || {
        let now = Instant::now().into_std();
        TtsClient::new(TtsConfig::new(AudioFormat::PHONE, "ada"), now)
    };
    let session = Session::builder(machine()).start(failover.clone());
    sleep(SECOND / 2).await;
    assert_eq!(world.dialled()[..2], [0, 1]);
    let config = PoolConfig::new(1, |event| matches!(event, TtsEvent::Ready { .. }));
    let pool = Pool::new(failover, machine, config);
    sleep(SECOND / 2).await;
    let dialled = world.dialled();
    assert!(!dialled.is_empty() && !dialled.contains(&0), "what one learned the other knows: {dialled:?}");
    pool.close().await;
    drop(session);
}
