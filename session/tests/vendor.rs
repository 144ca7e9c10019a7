//! Proves that a vendor which takes links and does no work is spared like one that is down, and that what it asks for
//! holds every session with it.
#![expect(clippy::unwrap_used, reason = "a gateway in a test may unwrap as a test may")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::slng::{
    Quirks, SlngQuirk, SttClient, SttConfig, SttServer, SttServerConfig, TtsClient, TtsConfig, TtsServer,
    TtsServerConfig,
};
use voxline_protocol::{Machine, Message};
use voxline_session::{
    Breaker, Budget, Receiver, RetryPolicy, Session, SessionError, SessionEvent, VendorLimits,
};
use voxline_transport::memory::{self, MemoryTransport};
use voxline_transport::{Connector, TransportError};

use support::{DialLog, FarEnd, Meets, Plan, Talker, line, serve};

const SECOND: Duration = Duration::from_secs(1);

/// Every dial meets a machine of its own, made by `serve`.
#[derive(Clone)]
struct Gateway {
    serve: Arc<dyn Fn(MemoryTransport) + Send + Sync>,
    dials: DialLog,
}

impl Gateway {
    fn new<M: Machine>(machine: impl Fn() -> M + Send + Sync + 'static) -> Self {
        let serve = move |link| {
            let (sender, mut receiver) = Session::builder(machine()).accept(link).split();
            tokio::spawn(async move {
                let _open = sender;
                while let Some(Ok(_)) = receiver.next().await {}
            });
        };
        Self { serve: Arc::new(serve), dials: DialLog::default() }
    }

    /// Between neighbouring dials.
    fn gaps(&self) -> Vec<Duration> {
        self.dials.times().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl Connector for Gateway {
    type Transport = MemoryTransport;

    async fn connect(&self) -> Result<MemoryTransport, TransportError> {
        self.dials.note();
        let (near, far) = memory::pair(8);
        (self.serve)(far);
        Ok(near)
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn tts() -> TtsClient {
    TtsClient::new(TtsConfig::new(AudioFormat::linear16(SampleRate::Hz16000), "ada"), now())
}

fn stt() -> SttClient {
    SttClient::new(SttConfig::new(AudioFormat::linear16(SampleRate::Hz16000)).unwrap(), now())
}

fn tts_gateway(quirk: SlngQuirk) -> Gateway {
    let config = TtsServerConfig::default().with_quirks(Quirks::NONE.with(quirk));
    Gateway::new(move || TtsServer::new(config.clone(), now()))
}

fn stt_gateway(quirk: SlngQuirk) -> Gateway {
    let config = SttServerConfig::default().with_quirks(Quirks::NONE.with(quirk));
    Gateway::new(move || SttServer::new(config.clone(), now()))
}

/// How the session ends, within an hour.
async fn outcome<M: Machine>(mut receiver: Receiver<M>) -> Result<(), SessionError> {
    let end = async {
        while let Some(event) = receiver.next().await {
            event?;
        }
        Ok(())
    };
    tokio::time::timeout(3_600 * SECOND, end).await.unwrap()
}

/// Dials until the policy ends it, and looks at how.
async fn expect_backoff<M: Machine>(name: &str, machine: M, gateway: Gateway, open_for: Duration) {
    const REDIALS: u32 = 6;
    let limits = VendorLimits::new(Budget::default(), Breaker::new(REDIALS, 5 * SECOND));
    let policy = RetryPolicy::default().with_seed(3).with_max_attempts(REDIALS);
    let session = Session::builder(machine).retry(policy).limits(&limits).start(gateway.clone());
    let (_sender, receiver) = session.split();
    let Err(SessionError::RetriesExhausted { attempts: REDIALS, .. }) = outcome(receiver).await else {
        panic!("{name}: not given up")
    };
    let gaps = gateway.gaps();
    let mut window = SECOND;
    for gap in &gaps {
        assert!(*gap >= open_for && *gap <= open_for + window + SECOND / 2, "{name}: {gaps:?}");
        window = (window * 2).min(30 * SECOND);
    }
    assert!(gaps.iter().any(|gap| *gap > open_for + 4 * SECOND), "{name}: windows grow: {gaps:?}");
    assert_eq!(limits.spent(), u64::from(REDIALS), "{name}: every redial is paid for");
    assert!(limits.is_open(), "{name}: others are held back too");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_says_ready_is_dialled_ever_more_slowly_and_given_up() {
    expect_backoff("tts", tts(), tts_gateway(SlngQuirk::NoReady), 5 * SECOND).await;
    expect_backoff("stt", stt(), stt_gateway(SlngQuirk::NoReady), 5 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_refuses_right_after_accepting_is_dialled_ever_more_slowly_and_given_up() {
    expect_backoff("tts", tts(), tts_gateway(SlngQuirk::RateLimit), Duration::ZERO).await;
    expect_backoff("stt", stt(), stt_gateway(SlngQuirk::RateLimit), Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_refused_inside_the_link_is_final() {
    let gateway = tts_gateway(SlngQuirk::AuthFrame);
    let (_sender, receiver) = Session::builder(tts()).start(gateway.clone()).split();
    let error = outcome(receiver).await.unwrap_err();
    assert_eq!(error.code().to_string(), "slng/auth");
    assert_eq!(gateway.dials.times().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_lets_one_session_try_and_the_others_in_once_that_worked() {
    let limits = VendorLimits::new(Budget::default(), Breaker::new(3, 5 * SECOND));
    let dead = tts_gateway(SlngQuirk::NoReady);
    let policy = RetryPolicy::default().with_seed(1).with_max_attempts(2);
    let session = Session::builder(tts()).retry(policy).limits(&limits).start(dead);
    outcome(session.split().1).await.unwrap_err();
    assert!(limits.is_open());

    let well = tts_gateway(SlngQuirk::BothTerminals);
    let sessions: Vec<_> = (0..50)
        .map(|seed| {
            let policy = RetryPolicy::default().with_seed(seed);
            Session::builder(tts()).retry(policy).limits(&limits).start(well.clone()).split()
        })
        .collect();
    tokio::time::sleep(9 * SECOND).await; // a cooldown, and the time the first link needs to prove good
    let dials = well.dials.times();
    let first = *dials.first().unwrap();
    assert!(dials.iter().all(|at| *at == first || *at >= first + 2 * SECOND), "{dials:?}");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(well.dials.times().len(), 50);
    assert!(!limits.is_open());
    drop(sessions);
}

#[tokio::test(start_paused = true)]
async fn a_429_holds_every_session_with_the_vendor_for_the_stated_wait() {
    let limits = VendorLimits::default();
    let policy = |seed| RetryPolicy::default().with_seed(seed);
    let (limited, _links) = Plan::new(&[Meets::Later(40)], 8);
    let told = Session::builder(Talker::default()).retry(policy(0)).limits(&limits).start(limited);
    tokio::time::sleep(SECOND).await;
    let held = now();

    let sessions: Vec<_> = (1..=200)
        .map(|seed| {
            let (plan, links) = Plan::new(&[], 8);
            let dials = plan.dials.clone();
            let builder = Session::builder(Talker::default()).retry(policy(seed)).limits(&limits);
            (dials, builder.start(plan), links)
        })
        .collect();
    let (plan, _links) = Plan::new(&[], 8);
    let refused = Session::builder(Talker::default()).limits(&limits).connect(plan).await.unwrap_err();
    let SessionError::HeldBack { wait } = refused else { panic!("{refused:?}") };
    assert!((38 * SECOND..=41 * SECOND).contains(&wait), "{wait:?}");

    tokio::time::sleep(60 * SECOND).await;
    let mut dials: Vec<Duration> =
        sessions.iter().map(|(dials, ..)| dials.times().first().copied().unwrap() - held).collect();
    dials.sort_unstable();
    assert!(dials[0] >= 39 * SECOND, "{:?}", dials[0]);
    assert!(dials[199] <= 41 * SECOND, "{:?}", dials[199]);
    drop((told, sessions));
}

/// What the gateway says on one link, to 1,000 sessions of which 10 are live.
#[tokio::test(start_paused = true)]
async fn a_limit_stated_on_a_live_link_holds_redials_and_new_sessions_alike() {
    let limits = VendorLimits::default();
    let mut live = Vec::new();
    for seed in 0..10 {
        let (plan, mut links) = Plan::new(&[], 8);
        let dials = plan.dials.clone();
        let policy = RetryPolicy::default().with_seed(seed);
        let session = Session::builder(Talker::default()).retry(policy).limits(&limits).start(plan).split();
        let mut far = FarEnd(links.recv().await.unwrap());
        assert_eq!(far.hear().await.as_deref(), Some("hello"));
        far.say("ready").await;
        live.push((dials, session, far, links));
    }
    tokio::time::sleep(60 * SECOND).await;
    let stated = now();
    live[0].2.say("later 30").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    for (_, _, far, _) in &mut live {
        far.close(1013).await;
    }
    let new: Vec<_> = (10..1_000)
        .map(|seed| {
            let (plan, links) = Plan::new(&[], 8);
            let dials = plan.dials.clone();
            let policy = RetryPolicy::default().with_seed(seed);
            (dials, Session::builder(Talker::default()).retry(policy).limits(&limits).start(plan), links)
        })
        .collect();
    tokio::time::sleep(60 * SECOND).await;
    let redials = live.iter().map(|(dials, ..)| dials.times()[1]);
    let firsts = new.iter().map(|(dials, ..)| dials.times()[0]);
    let mut dials: Vec<Duration> = redials.chain(firsts).map(|at| at - stated).collect();
    dials.sort_unstable();
    assert_eq!(dials.len(), 1_000);
    assert!(dials[0] >= 30 * SECOND, "{:?}", dials[0]);
    assert!(dials[999] <= 36 * SECOND, "{:?}", dials[999]);
    for pair in dials.windows(401) {
        assert!(pair[400] - pair[0] >= SECOND, "the budget's 200 at once and 200 a second");
    }
}

#[tokio::test(start_paused = true)]
async fn the_gateways_own_limit_message_holds_the_vendor() {
    const LIMIT: &str = r#"{"type":"error","code":"rate_limit","message":"slow down","retry_after":20}"#;
    let limits = VendorLimits::default();
    let (plan, mut links) = Plan::new(&[], 8);
    let dials = plan.dials.clone();
    let policy = RetryPolicy::default().with_seed(1);
    let tts = Session::builder(tts()).retry(policy.clone()).limits(&limits).start(plan);
    let mut far = links.recv().await.unwrap();
    assert!(far.next().await.is_some(), "init");
    far.send(Message::Text(LIMIT.into())).await.unwrap();
    assert!(far.next().await.is_some(), "its close");
    drop(far);

    let (plan, mut other_links) = Plan::new(&[], 8);
    let other_dials = plan.dials.clone();
    let begun = now();
    let stt = Session::builder(stt()).retry(policy.with_seed(2)).limits(&limits).start(plan);
    let _ = tokio::join!(links.recv(), other_links.recv());
    assert!(dials.times()[1] >= begun + 19 * SECOND);
    assert!(other_dials.times()[0] >= begun + 19 * SECOND, "the recognition route is the same vendor");
    drop((tts, stt));
}

/// The gateway ends a link that is silent for ten seconds with an error and a close.
#[tokio::test(start_paused = true)]
async fn a_night_of_idle_ends_spends_no_budget_and_never_backs_off() {
    let limits = VendorLimits::default();
    let gateways: Vec<Gateway> = (0..20).map(|_| tts_gateway(SlngQuirk::IdleLimit)).collect();
    let sessions: Vec<_> = gateways
        .iter()
        .enumerate()
        .map(|(seed, gateway)| {
            let mut config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz16000), "ada");
            config.keepalive = 3_600 * SECOND;
            let policy = RetryPolicy::default().with_seed(seed as u64);
            let builder = Session::builder(TtsClient::new(config, now())).retry(policy);
            let (sender, mut receiver) = builder.limits(&limits).start(gateway.clone()).split();
            tokio::spawn(async move {
                let _open = sender;
                while let Some(event) = receiver.next().await {
                    event.unwrap();
                }
            })
        })
        .collect();
    tokio::time::sleep(8 * 3_600 * SECOND).await;
    assert_eq!(limits.spent(), 0);
    for gateway in &gateways {
        let gaps = gateway.gaps();
        assert!(gaps.len() > 2_500, "{}", gaps.len());
        assert!(gaps.iter().all(|gap| *gap <= 12 * SECOND), "{:?}", gaps.iter().max());
    }
    sessions.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(sessions).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_ends_in_order_is_replaced_at_once_when_something_waits_for_it() {
    let (plan, mut links) = Plan::new(&[], 8);
    let dials = plan.dials.clone();
    let session = Session::builder(Talker::default()).retry(RetryPolicy::default().with_seed(1)).start(plan);
    let (mut sender, mut receiver) = session.split();
    let mut far = FarEnd(links.recv().await.unwrap());
    assert_eq!(far.hear().await.as_deref(), Some("hello"));
    far.say("ready").await;
    tokio::time::sleep(60 * SECOND).await;
    sender.send(line("one")).await.unwrap();
    assert_eq!(far.hear().await.as_deref(), Some("1 one"));
    far.close(1001).await;
    let closed = now();
    let server = tokio::spawn(serve(links.recv().await.unwrap()));
    assert_eq!(dials.times()[1], closed);
    while !matches!(receiver.next().await, Some(Ok(SessionEvent::Reconnected { .. }))) {}
    sender.close().await;
    assert_eq!(server.await.unwrap(), ["hello", "1 one", "bye"]);
}
