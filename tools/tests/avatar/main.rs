//! An avatar's whole life against the simulated service, in memory on a paused clock: whatever happens, no session is
//! left running, and every utterance gets exactly one account.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, what cannot be unwrapped is a failure"
)]

mod conversation;
mod life;
mod lobby;
mod recovery;
mod refusal;
mod room;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use voxline::simulate::agenthuman::{AvatarSimulator, AvatarSimulatorConfig};
use voxline_protocol::agenthuman::{
    AvatarApi, AvatarEvent, AvatarQuirk, AvatarServerEvent, CreateSession, RoomAccess, SpeechReport,
};
use voxline_protocol::{BaseUrl, Secret};
use voxline_session::{Avatar, AvatarConfig, AvatarError, AvatarNotice, RetryPolicy};
use voxline_transport::memory::Network;
use voxline_transport::{Endpoint, Requester};

type Seen = Arc<Mutex<Vec<(Option<String>, AvatarServerEvent)>>>;

/// A service on a network of its own.
struct Bench {
    network: Network,
    service: AvatarSimulator,
    seen: Seen,
    serving: JoinSet<()>,
}

impl Bench {
    fn new(quirks: &[AvatarQuirk]) -> Self {
        // Only this machine is dialled without TLS, in memory too.
        let network = Network::new(64);
        let seen = Seen::default();
        let writer = Arc::clone(&seen);
        let config = AvatarSimulatorConfig::default().with_quirks(quirks).with_max_sessions(1);
        let service = AvatarSimulator::with_observer("ws://127.0.0.1", config, move |session, event| {
            writer.lock().unwrap().push((session.map(str::to_owned), event.clone()));
        });
        let mut bench = Self { network, service, seen, serving: JoinSet::new() };
        bench.serve();
        bench
    }

    /// Is there for whoever dials.
    fn serve(&mut self) {
        let listener = self.network.listen("127.0.0.1").unwrap();
        let server = self.service.clone();
        self.serving.spawn(async move { server.serve(listener).await });
    }

    /// Is not there any more; what runs goes on.
    async fn hang_up(&mut self) {
        self.serving.shutdown().await;
    }

    async fn open(&self, config: AvatarConfig) -> Result<Avatar, AvatarError> {
        let key = Secret::new(AvatarSimulatorConfig::KEY).unwrap();
        let api = AvatarApi::new(key).with_base(BaseUrl::parse("http://127.0.0.1").unwrap());
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

    /// Ends a session behind the avatar's back.
    async fn end(&self, session_id: &str) {
        let endpoint = Endpoint::parse("http://127.0.0.1").unwrap();
        let request = Request::post(format!("/v1/sessions/{session_id}/end"))
            .header("x-api-key", AvatarSimulatorConfig::KEY)
            .body(Bytes::from_static(b"{}"))
            .unwrap();
        assert_eq!(self.network.clone().send(&endpoint, request).await.unwrap().status(), 200);
    }

    /// Sessions made so far.
    fn created(&self) -> usize {
        self.service.sessions()
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
        .with_socket_url(BaseUrl::parse("ws://127.0.0.1").unwrap())
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
