//! Proves that a pool lends only living sessions, in order, without a handshake, and counts them exactly.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use tokio::task::{JoinHandle, JoinSet, LocalSet};
use tokio::time::Instant;
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::UtteranceId;
use voxline_protocol::slng::{
    TtsClient, TtsCommand, TtsConfig, TtsEvent, TtsServer, TtsServerCommand, TtsServerConfig, TtsServerEvent,
};
use voxline_session::{Pool, PoolConfig, Probe, Session, SessionError, SessionEvent};
use voxline_transport::memory::{self, MemoryTransport};
use voxline_transport::{Connector, TransportError};

use support::{Heard, Meets, Plan, Random, Say, Talker, heard, line, serve};

const SECOND: Duration = Duration::from_secs(1);

fn config(max: usize) -> PoolConfig<Talker> {
    PoolConfig::new(max, |event| *event == Heard::Ready)
}

fn probe() -> Probe<Talker> {
    Probe::new(|| Say::Clear, |event| *event == Heard::Cleared).with_times(10 * SECOND, SECOND)
}

/// A vendor whose links can be cut.
#[derive(Debug)]
struct Vendor {
    accepting: JoinHandle<()>,
    cut: tokio::sync::broadcast::Sender<Cut>,
    open: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    All,
    /// The link with this number, counted from 0.
    One(usize),
}

impl Vendor {
    fn new(mut links: tokio::sync::mpsc::UnboundedReceiver<MemoryTransport>) -> Self {
        let (cut, _) = tokio::sync::broadcast::channel(1_024);
        let open = Arc::new(AtomicUsize::new(0));
        let (cuts, count) = (cut.clone(), Arc::clone(&open));
        let accepting = tokio::spawn(async move {
            let mut served = JoinSet::new();
            let mut number = 0;
            while let Some(link) = links.recv().await {
                let (mut cuts, count, this) = (cuts.subscribe(), Arc::clone(&count), number);
                count.fetch_add(1, Ordering::Relaxed);
                served.spawn(async move {
                    let cut = async {
                        while let Ok(cut) = cuts.recv().await {
                            if matches!(cut, Cut::All) || matches!(cut, Cut::One(number) if number == this) {
                                return;
                            }
                        }
                    };
                    tokio::select! {
                        _ = serve(link) => {}
                        () = cut => {}
                    }
                    count.fetch_sub(1, Ordering::Relaxed);
                });
                number += 1;
            }
            while served.join_next().await.is_some() {}
        });
        Self { accepting, cut, open }
    }

    fn cut(&self, cut: Cut) {
        let _ = self.cut.send(cut);
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

fn pool(steps: &[Meets], config: PoolConfig<Talker>) -> (Pool<Talker, Plan>, Vendor) {
    let (plan, links) = Plan::new(steps, 16);
    (Pool::new(plan, Talker::default, config), Vendor::new(links))
}

fn dials(pool: &Pool<Talker, Plan>) -> usize {
    pool.connector().dials.times().len()
}

#[tokio::test(start_paused = true)]
async fn a_warm_session_is_lent_at_once_and_without_a_dial() {
    let (pool, _vendor) = pool(&[], config(4).with_min_standby(2));
    tokio::time::sleep(SECOND).await;
    assert_eq!((pool.status().standby, dials(&pool)), (2, 2));
    let begun = Instant::now();
    let mut lease = pool.acquire().await.unwrap();
    assert_eq!((begun.elapsed(), dials(&pool)), (Duration::ZERO, 2));

    let (sender, receiver) = lease.session().halves();
    sender.send(Say::Clear).await.unwrap();
    assert_eq!(heard(receiver).await, Some(Heard::Cleared), "initialised, and silent since");
    tokio::time::sleep(SECOND).await;
    assert_eq!((pool.status().standby, pool.status().lent, dials(&pool)), (2, 1, 3), "another is kept warm");
}

#[tokio::test(start_paused = true)]
async fn borrowers_are_served_in_the_order_they_asked() {
    let (pool, _vendor) = pool(&[], config(1).with_acquire_limit(60 * SECOND));
    let order = RefCell::new(Vec::new());
    join_all((0..8).map(|number| {
        let (pool, order) = (&pool, &order);
        async move {
            let lease = pool.acquire().await.unwrap();
            order.borrow_mut().push(number);
            tokio::time::sleep(SECOND).await;
            lease.give_back();
        }
    }))
    .await;
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(dials(&pool), 1, "one session served them all");
}

#[tokio::test(start_paused = true)]
async fn a_dead_standby_costs_the_borrower_nothing() {
    let (pool, vendor) = pool(&[], config(4).with_min_standby(2));
    tokio::time::sleep(SECOND).await;
    vendor.cut(Cut::One(0));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    let mut lease = pool.acquire().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(lease.session().metrics().link_up);
    tokio::time::sleep(SECOND).await;
    let status = pool.status();
    assert_eq!((status.standby, status.lent, status.died, vendor.open()), (2, 1, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_comes_back_fills_the_standby_again() {
    let mut steps = vec![Meets::Link; 2];
    steps.extend([Meets::Nobody; 12]);
    let (pool, vendor) = pool(&steps, config(4).with_min_standby(2));
    tokio::time::sleep(SECOND).await;
    vendor.cut(Cut::All);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((pool.status().standby, vendor.open()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_no_longer_answers_is_replaced_and_never_lent() {
    let (plan, mut links) = Plan::new(&[], 16);
    let pool = Pool::new(plan, Talker::default, config(2).with_probe(probe()));
    let mut far = support::FarEnd(links.recv().await.unwrap());
    assert_eq!(far.hear().await.as_deref(), Some("hello"));
    far.say("ready").await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(pool.status().standby, 1);
    let vendor = Vendor::new(links);
    tokio::time::sleep(11 * SECOND).await; // asked after 10 s, and given 1 s to answer
    assert_eq!(pool.status().died, 1);
    assert_eq!(far.hear().await.as_deref(), Some("clear"));
    assert_eq!((pool.status().standby, vendor.open()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_came_back_is_lent_again_only_after_it_answered() {
    let (pool, _vendor) = pool(&[], config(1).with_probe(probe()));
    let mut lease = pool.acquire().await.unwrap();
    let (sender, _) = lease.session().halves();
    sender.send(line("one")).await.unwrap();
    let sent = sender.metrics().messages_sent;
    lease.give_back();
    let mut lease = pool.acquire().await.unwrap();
    let (sender, receiver) = lease.session().halves();
    let metrics = sender.metrics();
    assert_eq!(metrics.messages_sent, sent + 2, "the line, and the pool's probe");
    assert_eq!(metrics.events_queued, 0, "nothing of the borrower before");
    sender.send(Say::Clear).await.unwrap();
    assert_eq!(heard(receiver).await, Some(Heard::Cleared));
    assert_eq!(dials(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_probe_nothing_of_one_borrower_reaches_the_next() {
    let (pool, _vendor) = pool(&[], config(1));
    let mut lease = pool.acquire().await.unwrap();
    let (sender, _) = lease.session().halves();
    sender.send(Say::Clear).await.unwrap();
    tokio::time::sleep(SECOND).await; // the answer waits to be read
    assert_eq!(lease.session().metrics().events_queued, 1);
    lease.give_back();
    let mut lease = pool.acquire().await.unwrap();
    assert_eq!(lease.session().metrics().events_queued, 0);
    assert_eq!(dials(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn sessions_the_pool_has_done_with_are_closed_in_order() {
    let (plan, mut links) = Plan::new(&[], 16);
    let pool = Pool::new(plan, Talker::default, config(1).with_max_age(10 * SECOND));
    let goodbyes = tokio::spawn(async move {
        let mut goodbyes = Vec::new();
        for _ in 0..2 {
            goodbyes.push(serve(links.recv().await.unwrap()).await);
        }
        goodbyes
    });
    tokio::time::sleep(15 * SECOND).await; // the first is too old
    pool.acquire().await.unwrap().session(); // and the second was used
    for heard in goodbyes.await.unwrap() {
        assert_eq!(heard, ["hello", "bye"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_granted_to_a_borrower_who_has_left_is_not_lost() {
    let (pool, _vendor) = pool(&[], config(1));
    let lease = pool.acquire().await.unwrap();
    assert!(pool.acquire().now_or_never().is_none(), "in line, and gone again");
    drop(lease);
    assert_eq!((pool.status().standby, pool.status().waiting), (1, 0));
    pool.acquire().await.unwrap();
    assert_eq!(dials(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn an_untouched_lease_goes_back_and_a_used_one_is_closed() {
    let (pool, vendor) = pool(&[], config(1));
    drop(pool.acquire().await.unwrap());
    assert_eq!((pool.status().standby, dials(&pool)), (1, 1));
    let mut lease = pool.acquire().await.unwrap();
    lease.session();
    drop(lease);
    tokio::time::sleep(SECOND).await;
    assert_eq!((pool.status().standby, dials(&pool), vendor.open()), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slot_counts_until_it_is_dropped() {
    let (pool, _vendor) = pool(&[], config(1).with_acquire_limit(SECOND));
    let (session, slot) = pool.acquire().await.unwrap().into_parts();
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, SessionError::PoolTimeout { in_use: 1, max: 1, .. }), "{error:?}");
    drop((session, slot));
    pool.acquire().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn old_and_surplus_sessions_are_replaced_or_closed() {
    let (pool, vendor) = pool(&[], config(8).with_max_age(100 * SECOND).with_idle_limit(10 * SECOND));
    let leases = join_all((0..4).map(|_| pool.acquire())).await;
    drop(leases);
    assert_eq!(pool.status().standby, 5, "one for each borrower, and the standby");
    tokio::time::sleep(50 * SECOND).await;
    assert_eq!((pool.status().standby, vendor.open()), (1, 1), "surplus");
    let before = pool.status().opened;
    tokio::time::sleep(400 * SECOND).await;
    assert_eq!((pool.status().opened - before, vendor.open()), (4, 1), "age");
    assert_eq!(pool.status().died, 0);
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_is_told_to_who_waits() {
    let (pool, _vendor) = pool(&[Meets::Refusal(401)], config(2).with_min_standby(0));
    let error = pool.acquire().await.unwrap_err();
    assert!(
        matches!(error, SessionError::Transport(TransportError::Refused { status: 401, .. })),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_never_ready_is_given_up() {
    let (pool, _vendor) = pool(&[Meets::Silence], config(2).with_min_standby(0).with_ready_limit(3 * SECOND));
    let begun = Instant::now();
    pool.acquire().await.unwrap();
    assert!((3..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// It accepts, initialises, and hangs up a moment later.
#[tokio::test(start_paused = true)]
async fn sessions_that_die_young_are_replaced_ever_more_slowly() {
    let (plan, mut links) = Plan::new(&[], 16);
    let mut config = config(2);
    config.session.retry = config.session.retry.with_seed(1);
    let pool = Pool::new(plan, Talker::default, config);
    let vendor = tokio::spawn(async move {
        while let Some(link) = links.recv().await {
            let mut far = support::FarEnd(link);
            assert_eq!(far.hear().await.as_deref(), Some("hello"));
            far.say("ready").await;
            tokio::time::sleep(SECOND / 10).await;
        }
    });
    tokio::time::sleep(120 * SECOND).await;
    let dials = pool.connector().dials.times();
    assert!((5..15).contains(&dials.len()), "{}", dials.len());
    let longest = dials.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest > Some(10 * SECOND), "{longest:?}");
    vendor.abort();
}

/// Connecting takes 100 ms.
#[tokio::test(start_paused = true)]
async fn leasing_a_warm_synthesis_link_costs_no_handshake() {
    let mut first_sound = Vec::new();
    for min_standby in [0, 1] {
        let dials = Arc::new(AtomicUsize::new(0));
        let gateway = SlowGateway { dials: Arc::clone(&dials) };
        let config = PoolConfig::new(4, |event: &TtsEvent| matches!(event, TtsEvent::Ready { .. }));
        let pool = Pool::new(gateway, tts, config.with_min_standby(min_standby));
        tokio::time::sleep(5 * SECOND).await;
        let (dialled, begun) = (dials.load(Ordering::Relaxed), Instant::now());

        let mut lease = pool.acquire().await.unwrap();
        let (sender, receiver) = lease.session().halves();
        let utterance = UtteranceId::FIRST;
        sender.send(TtsCommand::Speak { utterance, text: "Hello.".into() }).await.unwrap();
        sender.send(TtsCommand::Flush).await.unwrap();
        let before_text = dials.load(Ordering::Relaxed) - dialled;
        let audio = loop {
            if let SessionEvent::Protocol(TtsEvent::Audio { audio, .. }) =
                receiver.next().await.unwrap().unwrap()
            {
                break audio;
            }
        };
        assert_eq!(audio.len(), 1_280, "40 ms");
        first_sound.push((begun.elapsed(), before_text));
    }
    let [cold, warm] = first_sound[..] else { panic!("{first_sound:?}") };
    assert_eq!(cold, (Duration::from_millis(100), 1));
    assert_eq!(warm, (Duration::ZERO, 0));
}

/// A gateway that speaks silence; every link has cost a dial.
#[derive(Debug)]
struct SlowGateway {
    dials: Arc<AtomicUsize>,
}

impl Connector for SlowGateway {
    type Transport = MemoryTransport;

    async fn connect(&self) -> Result<MemoryTransport, TransportError> {
        self.dials.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (near, far) = memory::pair(8);
        tokio::spawn(speak_silence(far));
        Ok(near)
    }
}

async fn speak_silence(link: MemoryTransport) {
    let machine = TtsServer::new(TtsServerConfig::default(), Instant::now().into_std());
    let (mut sender, mut receiver) = Session::builder(machine).accept(link).split();
    while let Some(Ok(event)) = receiver.next().await {
        if let SessionEvent::Protocol(TtsServerEvent::Synthesise { turn, flush: true, .. }) = event {
            let audio = vec![0; 1_280].into();
            let spoken = sender.send(TtsServerCommand::Audio { turn, audio }).await;
            if spoken.is_err() || sender.send(TtsServerCommand::End { turn }).await.is_err() {
                return;
            }
        }
    }
}

fn tts() -> TtsClient {
    let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz16000), "ada");
    TtsClient::new(config, Instant::now().into_std())
}

#[tokio::test(start_paused = true)]
async fn closing_turns_away_who_waits_and_leaves_nothing() {
    let (pool, vendor) = pool(&[], config(2).with_min_standby(2));
    let lease = pool.acquire().await.unwrap();
    let other = pool.acquire().await.unwrap();
    drop(other);
    let third = pool.acquire().await.unwrap();
    let waiting = pool.acquire();
    let closing = async {
        tokio::task::yield_now().await;
        pool.close().await;
    };
    let (waited, ()) = tokio::join!(waiting, closing);
    assert!(matches!(waited, Err(SessionError::PoolClosed)), "{waited:?}");
    assert!(matches!(pool.acquire().await, Err(SessionError::PoolClosed)));
    assert_eq!(vendor.open(), 2, "leases outlive the pool's closing");
    drop((lease, third));
    drop(pool);
    vendor.accepting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_cuts_everything_it_holds() {
    let (pool, vendor) = pool(&[], config(8).with_min_standby(8));
    tokio::time::sleep(SECOND).await;
    assert_eq!(vendor.open(), 8);
    drop(pool);
    vendor.accepting.await.unwrap();
}

/// 1,000 borrowers at once; some give up, some sessions die, some leases are dropped in use.
#[tokio::test(start_paused = true)]
async fn counts_stay_exact_through_cancellation_and_death() {
    for seed in 0..support::heavy(3, 200) {
        support::print_seed(seed);
        LocalSet::new().run_until(chaos(seed)).await;
    }
}

#[expect(clippy::unwrap_used, reason = "part of a test")]
async fn chaos(seed: u64) {
    const MAX: usize = 20;
    let config = config(MAX).with_min_standby(3).with_acquire_limit(600 * SECOND).with_probe(probe());
    let (pool, vendor) = pool(&[], config);
    let pool = Rc::new(pool);
    let (asked, served) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let borrowed = Rc::new(RefCell::new(HashSet::new()));
    let mut tasks = Vec::new();
    for number in 0..1_000 {
        let mut random = Random::new(seed * 1_000 + number);
        let (pool, asked, served) = (Rc::clone(&pool), Rc::clone(&asked), Rc::clone(&served));
        let (borrowed, cuts) = (Rc::clone(&borrowed), vendor.cut.clone());
        tasks.push(tokio::task::spawn_local(async move {
            tokio::time::sleep(random.millis(200)).await;
            let patience = if random.one_in(3) { random.millis(400) } else { 1_000 * SECOND };
            let place = asked.replace(asked.get() + 1);
            let Ok(lease) = tokio::time::timeout(patience, pool.acquire()).await else { return false };
            let mut lease = lease.unwrap();
            served.borrow_mut().push(place);
            borrowed.borrow_mut().insert(number);
            let status = pool.status();
            assert!(borrowed.borrow().len() <= status.lent, "{status:?}");
            assert!(status.lent + status.opening + status.standby <= MAX, "{status:?}");
            if random.one_in(10) {
                let _ = cuts.send(Cut::One(random.below(1_000) as usize));
            }
            if random.one_in(2) {
                lease.session();
            }
            tokio::time::sleep(random.millis(40)).await;
            borrowed.borrow_mut().remove(&number);
            match random.below(3) {
                0 => drop(lease),
                1 => lease.give_back(),
                _ => drop(lease.into_parts()),
            }
            true
        }));
    }
    let outcomes: Vec<bool> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let served = served.take();
    assert!(served.is_sorted(), "served out of order: {served:?}");
    assert_eq!(outcomes.iter().filter(|served| **served).count(), served.len());
    assert!((600..1_000).contains(&served.len()), "{} served", served.len());

    let status = pool.status();
    assert_eq!((status.lent, status.waiting), (0, 0), "{status:?}");
    tokio::time::sleep(300 * SECOND).await;
    let status = pool.status();
    assert_eq!((status.standby, status.opening, vendor.open()), (3, 0, 3), "{status:?}");
    pool.close().await;
    drop(pool);
    vendor.accepting.await.unwrap();
}
