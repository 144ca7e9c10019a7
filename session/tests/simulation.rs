//! Proves that a simulated world repeats itself: the same seed is the same trace of events, to the microsecond.
#![expect(clippy::unwrap_used, reason = "a simulation that cannot be set up has nothing to say")]

mod support;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::UtteranceId;
use voxline_protocol::slng::{
    Quirks, SlngQuirk, TtsClient, TtsCommand, TtsConfig, TtsServer, TtsServerCommand, TtsServerConfig,
    TtsServerEvent,
};
use voxline_session::{RetryPolicy, Session, SessionEvent, VendorLimits};
use voxline_transport::memory::{self, MemoryTransport};
use voxline_transport::{Connector, FaultHandle, FaultPlan, FaultyConnector, TransportError};

use support::{Random, heavy, print_seed};

const CALLS: u64 = 5;
const SECOND: Duration = Duration::from_secs(1);

/// FNV-1a over every event with its time and its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trace {
    hash: u64,
    events: u64,
}

impl Trace {
    fn note(&mut self, line: &str) {
        self.events += 1;
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A gateway whose voice is silence; every third link has a quirk.
struct Gateway {
    random: Mutex<Random>,
}

impl Connector for Gateway {
    type Transport = MemoryTransport;

    async fn connect(&self) -> Result<MemoryTransport, TransportError> {
        let (delay, quirk) = {
            let mut random = self.random.lock().unwrap();
            let quirks = [SlngQuirk::NoReady, SlngQuirk::CloseBeforeAudio, SlngQuirk::NoTerminal];
            (random.millis(200), random.one_in(3).then(|| quirks[random.below(3) as usize]))
        };
        sleep(delay).await;
        let (near, far) = memory::pair(4);
        tokio::spawn(speak_silence(far, quirk.into_iter().collect()));
        Ok(near)
    }
}

async fn speak_silence(link: MemoryTransport, quirks: Quirks) {
    let config = TtsServerConfig::default().with_quirks(quirks);
    let machine = TtsServer::new(config, Instant::now().into_std());
    let (mut sender, mut receiver) = Session::builder(machine).accept(link).split();
    while let Some(Ok(event)) = receiver.next().await {
        if let SessionEvent::Protocol(TtsServerEvent::Synthesise { turn, text, flush: true }) = event {
            let audio = vec![0; text.len() * 1_280].into();
            let _ = sender.send(TtsServerCommand::Audio { turn, audio }).await;
            let _ = sender.send(TtsServerCommand::End { turn }).await;
        }
    }
}

/// Speaks and clears for half a minute over links that are cut, late, stalled and garbled.
async fn call(number: u64, seed: u64, limits: VendorLimits, trace: Arc<Mutex<Trace>>) {
    let begun = Instant::now();
    let plan = FaultPlan::new(seed)
        .with_cut(SECOND..=SECOND * 12)
        .with_delay(SECOND / 100..=SECOND / 5)
        .with_stall(SECOND * 2..=SECOND * 5, SECOND / 5..=SECOND)
        .with_garble(0.01);
    let gateway = Gateway { random: Mutex::new(Random::new(seed)) };
    let connector = FaultyConnector::new(gateway, plan, FaultHandle::new());
    let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz16000), "ada");
    let builder = Session::builder(TtsClient::new(config, begun.into_std()));
    let session = builder.retry(RetryPolicy::default().with_seed(seed)).limits(&limits).start(connector);
    let (mut sender, mut receiver) = session.split();
    let reading = tokio::spawn(async move {
        let mut line = String::new();
        while let Some(event) = receiver.next().await {
            line.clear();
            write!(line, "{number} {} {event:?}", begun.elapsed().as_micros()).unwrap();
            trace.lock().unwrap().note(&line);
        }
    });
    let mut random = Random::new(seed + 1_000_000);
    let mut utterance = UtteranceId::FIRST;
    while begun.elapsed() < SECOND * 30 {
        sleep(random.millis(1_500)).await;
        if random.one_in(4) {
            let _ = sender.interrupt(TtsCommand::Clear);
        } else {
            let text = "A sentence of some length.".to_owned();
            let _ = sender.send(TtsCommand::Speak { utterance, text }).await;
            let _ = sender.send(TtsCommand::Flush).await;
            utterance = utterance.next();
        }
    }
    sender.close().await;
    reading.await.unwrap();
}

fn simulate(seed: u64) -> Trace {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let trace = Arc::new(Mutex::new(Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0 }));
    runtime.block_on(async {
        let limits = VendorLimits::default();
        let mut calls = JoinSet::new();
        for number in 0..CALLS {
            calls.spawn(call(number, seed * CALLS + number, limits.clone(), Arc::clone(&trace)));
        }
        calls.join_all().await;
    });
    *trace.lock().unwrap()
}

#[test]
fn the_same_seed_is_the_same_trace_and_another_seed_another() {
    let mut hashes = Vec::new();
    for seed in 0..heavy(10, 1_000) {
        print_seed(seed);
        let trace = simulate(seed);
        assert_eq!(trace, simulate(seed), "seed {seed}");
        assert!(trace.events > 100, "seed {seed}: {} events", trace.events);
        hashes.push(trace.hash);
    }
    hashes.sort_unstable();
    assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]), "every seed has its own trace");
}
