//! AgentHuman, simulated: the REST service and the avatar servers behind it, on one address.

mod command;
mod ear;
mod link;
mod room;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::sync::watch;
use voxline_protocol::agenthuman::{
    AvatarDesk, AvatarDeskConfig, AvatarQuirk, AvatarServerConfig, AvatarServerEvent, HostedSession,
    HostedStatus, Revision,
};
use voxline_transport::{
    Acceptor, Exchange, FaultHandle, FaultPlan, Faulty, ListenerConfig, WebSocketConfig, text_response,
};

use super::serve_each;
use crate::run::now;

pub(crate) use command::run;
pub use ear::AvatarEar;
use room::Rooms;

/// The avatar service: creates, starts and ends sessions by REST, and takes their speech over WebSocket.
///
/// It is the vendor's machines behind whatever requests arrive, real or in memory, and Daily's presence and eject calls
/// for the rooms its avatars are in. It knows at every moment which
/// sessions cost money, so a test can ask whether any was forgotten. Clones are the same service.
///
/// ```no_run
/// use voxline::net::{Loopback, Net};
/// use voxline::simulate::agenthuman::{AvatarSimulator, AvatarSimulatorConfig};
///
/// # async fn simulate() -> Result<(), Box<dyn std::error::Error>> {
/// let (acceptor, url) = Loopback::default().listen("avatar").await?;
/// let service = AvatarSimulator::new(&url, AvatarSimulatorConfig::default());
/// println!("POST {}/v1/sessions", url.replace("ws://", "http://"));
/// service.serve(acceptor).await;
/// assert!(service.running().is_empty(), "nobody forgot a session");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AvatarSimulator(Arc<Service>);

/// How the simulated service behaves.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct AvatarSimulatorConfig {
    /// The key every REST call must carry; [`AvatarSimulatorConfig::KEY`] by default.
    pub key: String,
    /// Its faults and dialects; none by default.
    pub quirks: Vec<AvatarQuirk>,
    /// How often a start call answers `try_again` first. 1 by default.
    pub try_again: u32,
    /// Sessions that may run at once. 5 by default.
    pub max_sessions: usize,
    /// REST calls a minute, 60 by default, as the service.
    pub calls_per_minute: u32,
    /// From a piece of speech to its confirmation. 40 ms by default.
    pub confirm_delay: Duration,
    /// The key of the rooms' domain, for Daily's presence and eject calls; [`AvatarSimulatorConfig::DAILY_KEY`] by
    /// default.
    pub daily_key: String,
}

impl AvatarSimulatorConfig {
    /// The key that is accepted unless another one is set.
    pub const KEY: &'static str = "ah_test_simulated";

    /// The key that opens the rooms unless another one is set.
    pub const DAILY_KEY: &'static str = "daily_simulated";

    /// Misbehaves as `quirks` say.
    #[must_use]
    pub fn with_quirks(self, quirks: impl Into<Vec<AvatarQuirk>>) -> Self {
        Self { quirks: quirks.into(), ..self }
    }

    /// Accepts this key alone.
    #[must_use]
    pub fn with_key(self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// Lets this many sessions run at once.
    #[must_use]
    pub fn with_max_sessions(self, max_sessions: usize) -> Self {
        Self { max_sessions, ..self }
    }
}

impl Default for AvatarSimulatorConfig {
    fn default() -> Self {
        Self {
            key: Self::KEY.to_owned(),
            quirks: Vec::new(),
            try_again: 1,
            max_sessions: 5,
            calls_per_minute: 60,
            confirm_delay: Duration::from_millis(40),
            daily_key: Self::DAILY_KEY.to_owned(),
        }
    }
}

struct Service {
    config: AvatarSimulatorConfig,
    /// One moment on both clocks: a wall clock that stops when Tokio's does.
    epoch: (Instant, SystemTime),
    desk: Mutex<AvatarDesk>,
    rooms: Mutex<Rooms>,
    calls: AtomicU64,
    /// Told after every REST call, so that links learn what became of their sessions.
    changes: watch::Sender<()>,
    first_link: Mutex<bool>,
    links: FaultHandle,
    observer: Box<Observer>,
}

type Observer = dyn Fn(Option<&str>, &AvatarServerEvent) + Send + Sync;

impl AvatarSimulator {
    /// A service that is dialled at `url`: `ws://` and host, as a listener says it.
    #[must_use]
    pub fn new(url: &str, config: AvatarSimulatorConfig) -> Self {
        Self::with_observer(url, config, |_, _| {})
    }

    /// The same, telling `observer` of everything its avatars do, with the session once it is known. It is called on
    /// the link's own task and must not block.
    #[must_use]
    pub fn with_observer(
        url: &str,
        config: AvatarSimulatorConfig,
        observer: impl Fn(Option<&str>, &AvatarServerEvent) + Send + Sync + 'static,
    ) -> Self {
        let mut desk = AvatarDeskConfig::new(config.key.as_str(), url);
        desk.try_again = config.try_again;
        desk.max_sessions = config.max_sessions;
        desk.calls_per_minute = config.calls_per_minute;
        desk.quirks.clone_from(&config.quirks);
        let rooms = Rooms::new(&config.daily_key, config.quirks.contains(&AvatarQuirk::StalePresence));
        Self(Arc::new(Service {
            config,
            epoch: (now(), SystemTime::now()),
            desk: Mutex::new(AvatarDesk::new(desk)),
            rooms: Mutex::new(rooms),
            calls: AtomicU64::new(0),
            changes: watch::Sender::new(()),
            first_link: Mutex::new(true),
            links: FaultHandle::new(),
            observer: Box::new(observer),
        }))
    }

    /// How a socket must listen for it: speech comes in messages of up to 100 MB.
    #[must_use]
    pub fn listener_config() -> ListenerConfig {
        let socket = WebSocketConfig::new().with_max_message_size(Revision::A.max_message_bytes());
        ListenerConfig::new().with_websocket(socket)
    }

    /// Serves every request that arrives, until no more can. Dropping the future cuts all links.
    pub async fn serve<A: Acceptor>(&self, acceptor: A) {
        serve_each(acceptor, |exchange| self.clone().answer(exchange)).await;
    }

    /// The sessions that cost money right now: started, and not ended by anybody.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.desk().running().map(str::to_owned).collect()
    }

    /// How many sessions were created.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.desk().created()
    }

    /// How many REST calls were made, those about rooms included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// How many avatars are in a room.
    #[must_use]
    pub fn present(&self, room: &str) -> usize {
        self.rooms().present(room)
    }

    /// How many avatars were put out of their rooms.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.rooms().ejections()
    }

    /// All avatars vanish from their rooms, as when their renderer fails; their sessions go on.
    pub fn empty_rooms(&self) {
        self.rooms().clear();
    }

    /// The open links, to be broken at will.
    #[must_use]
    pub fn links(&self) -> &FaultHandle {
        &self.0.links
    }

    async fn answer<E: Exchange>(self, exchange: E) {
        if !exchange.is_upgrade() {
            let response = self.respond(exchange.request());
            // A client that is gone before its answer is nobody's error.
            return drop(exchange.respond(response).await);
        }
        let Some(slot) = slot(exchange.request()) else {
            return drop(exchange.respond(text_response(StatusCode::NOT_FOUND, "no such server")).await);
        };
        let Ok(link) = exchange.upgrade().await else { return };
        let link = Faulty::new(link, FaultPlan::new(0), &self.0.links);
        link::serve(&self, slot, link).await;
    }

    fn respond(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        if request.uri().path().starts_with("/v1/rooms/") {
            return self.rooms().handle(now(), request);
        }
        let response = self.desk().handle(self.wall(), request);
        let running = self.running();
        self.rooms().retain(&running);
        self.0.changes.send_replace(());
        response
    }

    /// What a new link's machine is made with.
    fn server_config(&self, slot: usize) -> AvatarServerConfig {
        let mut config = AvatarServerConfig::new(self.hosted(slot));
        config.confirm_delay = self.0.config.confirm_delay;
        config.quirks.clone_from(&self.0.config.quirks);
        // Each link has its own machine, and this is about the first link of all.
        let is_first = std::mem::take(&mut *lock(&self.0.first_link));
        let about_first = [AvatarQuirk::NotFoundOnce, AvatarQuirk::NoVideoPathOnce];
        config.quirks.retain(|quirk| is_first || !about_first.contains(quirk));
        config
    }

    /// The sessions that can be initialised or are over, as one server sees them now.
    fn hosted(&self, slot: usize) -> Vec<HostedSession> {
        self.desk().hosted(slot, now(), self.wall())
    }

    /// Tells of an event, and lets the REST side know what the socket ended.
    fn on_event(&self, session_id: Option<&str>, event: &AvatarServerEvent) {
        if let AvatarServerEvent::Disconnected { session_id: Some(id), ends_session: true }
        | AvatarServerEvent::SessionExpired { session_id: id } = event
        {
            self.desk().end_session(self.wall(), id);
            let running = self.running();
            self.rooms().retain(&running);
        }
        if let AvatarServerEvent::Established { session_id, room, .. } = event
            && !self.0.config.quirks.contains(&AvatarQuirk::NeverInRoom)
        {
            let room = room.as_deref().cloned().or_else(|| self.desk().room(session_id));
            self.rooms().join(session_id, room);
        }
        (self.0.observer)(session_id, event);
    }

    fn wall(&self) -> SystemTime {
        let (instant, wall) = self.0.epoch;
        wall + now().saturating_duration_since(instant)
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        lock(&self.0.rooms)
    }

    fn desk(&self) -> MutexGuard<'_, AvatarDesk> {
        lock(&self.0.desk)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A table of whole entries, and a flag: nothing in them is half done after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which server a link is for: `/s/N` in revision A; `/`, the router in front of all of them, in B.
fn slot(request: &Request<Bytes>) -> Option<usize> {
    match request.uri().path() {
        "" | "/" => Some(ROUTER),
        path => path.strip_prefix("/s/")?.parse().ok(),
    }
}

/// Whether a session is worth telling a link about that does not use it.
fn is_open(session: &HostedSession) -> bool {
    match session.status {
        HostedStatus::Created | HostedStatus::Started => true,
        HostedStatus::Ended | _ => false,
    }
}

/// No session of revision A is assigned here: their slots count from 1.
const ROUTER: usize = 0;
