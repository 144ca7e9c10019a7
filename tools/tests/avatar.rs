//! An avatar's whole life against the simulated service, in memory on a paused clock: whatever happens, no session is
//! left running, and every utterance gets exactly one account.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, what cannot be unwrapped is a failure"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use voxline::simulate::agenthuman::{AvatarSimulator, AvatarSimulatorConfig};
use voxline_protocol::agenthuman::{
    AvatarApi, AvatarEvent, AvatarQuirk, AvatarServerEvent, CreateSession, RoomAccess, SpeechEnd,
    SpeechReport,
};
use voxline_protocol::daily::RoomVerdict;
use voxline_protocol::{Secret, UtteranceId};
use voxline_session::{Avatar, AvatarConfig, AvatarError, AvatarNotice, RetryPolicy};
use voxline_transport::memory::Network;

type Seen = Arc<Mutex<Vec<(Option<String>, AvatarServerEvent)>>>;

/// A service on a network of its own.
struct Bench {
    network: Network,
    service: AvatarSimulator,
    seen: Seen,
    _serving: JoinSet<()>,
}

impl Bench {
    fn new(quirks: &[AvatarQuirk]) -> Self {
        // Only this machine is dialled without TLS, in memory too.
        let network = Network::new(64);
        let listener = network.listen("127.0.0.1").unwrap();
        let seen = Seen::default();
        let writer = Arc::clone(&seen);
        let config = AvatarSimulatorConfig::default().with_quirks(quirks).with_max_sessions(1);
        let service = AvatarSimulator::with_observer("ws://127.0.0.1", config, move |session, event| {
            writer.lock().unwrap().push((session.map(str::to_owned), event.clone()));
        });
        let mut serving = JoinSet::new();
        let server = service.clone();
        serving.spawn(async move { server.serve(listener).await });
        Self { network, service, seen, _serving: serving }
    }

    async fn open(&self, config: AvatarConfig) -> Result<Avatar, AvatarError> {
        let key = Secret::new(AvatarSimulatorConfig::KEY).unwrap();
        let api = AvatarApi::new(key).with_base("http://127.0.0.1").unwrap();
        let network = self.network.clone();
        let connect = move |endpoint| network.connector(endpoint);
        Avatar::open(self.network.clone(), connect, api, config).await
    }

    /// Waits until no session costs money; fails if one still does after two minutes.
    async fn nothing_runs(&self, name: &str) {
        let silence = async {
            while !self.service.running().is_empty() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        let ended = timeout(Duration::from_secs(120), silence).await;
        assert!(ended.is_ok(), "{name}: {:?} was left running", self.service.running());
    }

    fn established(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(_, event)| matches!(event, AvatarServerEvent::Established { .. })).count()
    }
}

fn revision_a() -> AvatarConfig {
    AvatarConfig::new(CreateSession::revision_a("avat_1")).with_retry(retry())
}

fn revision_b() -> AvatarConfig {
    let room = RoomAccess::livekit("wss://rooms.example", Secret::new("token").unwrap());
    AvatarConfig::new(CreateSession::revision_b("avat_1", room))
        .with_socket_url("ws://127.0.0.1")
        .with_retry(retry())
}

fn retry() -> RetryPolicy {
    RetryPolicy::new(Duration::from_millis(200), Duration::from_secs(5)).with_max_attempts(6).with_seed(7)
}

fn speech(seconds: usize) -> Bytes {
    vec![1; seconds * 32_000].into()
}

/// Reads until `count` utterances are accounted for.
async fn accounts(avatar: &mut Avatar, count: usize) -> Vec<SpeechReport> {
    let mut reports = Vec::new();
    while reports.len() < count {
        match timeout(Duration::from_secs(600), avatar.next()).await.expect("an account in time") {
            Some(AvatarNotice::Protocol(AvatarEvent::Speech(report))) => reports.push(report),
            Some(_) => {}
            None => break,
        }
    }
    reports
}

#[tokio::test(start_paused = true)]
async fn one_session_says_many_utterances_and_is_ended() {
    for (name, config) in [("A", revision_a()), ("B", revision_b())] {
        let bench = Bench::new(&[]);
        let mut avatar = bench.open(config).await.unwrap();
        for _ in 0..5 {
            avatar.say(speech(12)).await.unwrap();
            assert_eq!(bench.service.running().len(), 1, "{name}");
            let reports = accounts(&mut avatar, 1).await;
            assert_eq!(reports[0].end, SpeechEnd::Confirmed, "{name}");
        }
        avatar.close().await.unwrap();
        assert!(bench.service.running().is_empty(), "{name}: closing waits for the end");
        assert_eq!(bench.established(), 1, "{name}: one session, one link");
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_out_ends_the_session() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    avatar.say(speech(60)).await.unwrap();
    drop(avatar);
    bench.nothing_runs("dropped in mid-speech").await;

    let bench = Bench::new(&[]);
    let avatar = bench.open(revision_a()).await.unwrap();
    let holder = tokio::spawn(async move {
        let _avatar = avatar;
        panic!("the application's own");
    });
    assert!(holder.await.is_err());
    bench.nothing_runs("a panic of its holder").await;

    for (quirk, code) in [
        (AvatarQuirk::AlwaysTryAgain, "agenthuman/start-timeout"),
        (AvatarQuirk::ExpiredAtBirth, "agenthuman/api-request"),
        (AvatarQuirk::SilentInit, "protocol/timeout"),
        (AvatarQuirk::WebrtcOffer, "agenthuman/revision-0"),
    ] {
        let bench = Bench::new(&[quirk]);
        match bench.open(revision_a()).await {
            Ok(mut avatar) => {
                while timeout(Duration::from_secs(600), avatar.next()).await.expect("an end").is_some() {}
                let error = avatar.close().await.unwrap_err();
                assert_eq!(error.code().as_str(), code, "{quirk}");
            }
            Err(error) => assert_eq!(error.code().as_str(), code, "{quirk}"),
        }
        assert!(bench.service.running().is_empty(), "{quirk}: an error is told after the end");
    }
}

#[tokio::test(start_paused = true)]
async fn an_opening_given_up_at_any_moment_leaves_nothing_running() {
    for (name, config) in [("A", revision_a()), ("B", revision_b())] {
        for millis in (0..2_500).step_by(50) {
            let bench = Bench::new(&[AvatarQuirk::SlowConfirmation]);
            let opening = timeout(Duration::from_millis(millis), bench.open(config.clone())).await;
            drop(opening);
            bench.nothing_runs(&format!("{name} given up after {millis} ms")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn links_cut_at_random_moments_lose_no_utterance_and_leave_no_session() {
    let rounds = if std::env::var_os("VOXLINE_HEAVY").is_some() { 500 } else { 20 };
    for seed in 0..rounds {
        for (name, config, quirks) in [
            ("A", revision_a(), &[][..]),
            ("A whose session ends with its link", revision_a(), &[AvatarQuirk::EndOnDisconnect]),
            ("B", revision_b(), &[AvatarQuirk::EndOnDisconnect]),
            ("B that forgets once", revision_b(), &[AvatarQuirk::NotFoundOnce]),
        ] {
            let name = format!("{name}, seed {seed}");
            let bench = Bench::new(quirks);
            let links = bench.service.links().clone();
            let cutting = tokio::spawn(async move {
                let mut moment = seed * 7_919 + 13;
                for _ in 0..3 {
                    moment = moment * 48_271 % 2_147_483_647;
                    sleep(Duration::from_millis(moment % 15_000)).await;
                    links.cut();
                }
            });
            let mut avatar = bench.open(config).await.unwrap();
            let mut said = Vec::new();
            for seconds in [3, 11, 1, 20] {
                said.push(avatar.say(speech(seconds)).await.unwrap());
            }
            let mut ends: BTreeMap<UtteranceId, Vec<SpeechEnd>> = BTreeMap::new();
            for report in accounts(&mut avatar, said.len()).await {
                ends.entry(report.utterance).or_default().push(report.end);
            }
            cutting.await.unwrap();
            for utterance in said {
                assert_eq!(ends.remove(&utterance), Some(vec![SpeechEnd::Confirmed]), "{name}, {utterance}");
            }
            let _ = avatar.close().await;
            bench.nothing_runs(&name).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_away_is_given_up_and_every_utterance_accounted_for() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    let said = avatar.say(speech(100)).await.unwrap();
    let begun = Instant::now();
    sleep(Duration::from_secs(3)).await;
    let links = bench.service.links().clone();
    let _cutting = tokio::spawn(async move {
        loop {
            links.cut();
            sleep(Duration::from_millis(10)).await;
        }
    });
    let reports = accounts(&mut avatar, 1).await;
    assert_eq!(reports[0].utterance, said);
    assert_ne!(reports[0].end, SpeechEnd::Confirmed);
    assert!(reports[0].confirmed_until > 0 && reports[0].confirmed_until < reports[0].given);
    let error = avatar.close().await.unwrap_err();
    assert!(matches!(error, AvatarError::Lost { attempts: 6, .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(300));
    assert!(bench.service.running().is_empty(), "REST still answers, so the session is ended");
}

#[tokio::test(start_paused = true)]
async fn an_interruption_accounts_for_everything_said_before_it_and_nothing_after() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    let before = [avatar.say(speech(60)).await.unwrap(), avatar.say(speech(5)).await.unwrap()];
    avatar.interrupt().await.unwrap();
    let after = avatar.say(speech(5)).await.unwrap();
    let reports = accounts(&mut avatar, 3).await;
    for utterance in before {
        let end = reports.iter().find(|report| report.utterance == utterance).map(|report| &report.end);
        assert_eq!(end, Some(&SpeechEnd::Interrupted));
    }
    let end = reports.iter().find(|report| report.utterance == after).map(|report| &report.end);
    assert_eq!(end, Some(&SpeechEnd::Confirmed));
    avatar.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_service_would_refuse_is_never_sent() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    for (name, audio, code) in [
        ("nothing", &b""[..], "agenthuman/no-audio"),
        ("half a sample", &[0; 32_001], "agenthuman/audio-processing"),
        ("a WAV file", b"RIFF\x24\0\0\0WAVE", "agenthuman/audio-processing"),
    ] {
        let error = avatar.say(Bytes::copy_from_slice(audio)).await.unwrap_err();
        assert_eq!(error.code().as_str(), code, "{name}: {error}");
    }
    avatar.close().await.unwrap();

    let nothing_sent = Bench::new(&[]);
    let config = AvatarConfig::new(CreateSession::revision_a(" "));
    let error = nothing_sent.open(config).await.unwrap_err();
    assert_eq!(error.code().as_str(), "agenthuman/avatar");
}

#[tokio::test(start_paused = true)]
async fn an_avatar_nobody_sees_in_the_room_is_called_late() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a().with_room_watch()).await.unwrap();
    let begun = Instant::now();
    let verdict = loop {
        if let Some(AvatarNotice::Room(verdict)) = avatar.next().await {
            break verdict;
        }
    };
    assert_eq!(verdict, RoomVerdict::AvatarLate { limit: Duration::from_secs(20) });
    assert!(begun.elapsed() <= Duration::from_secs(21));
    avatar.close().await.unwrap();
}
