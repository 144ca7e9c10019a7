//! The SLNG gateway, simulated: speech synthesis in tonetext, recognition of what really arrived.

mod listener;
mod studio;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use tokio::time::sleep_until;
use voxline_protocol::slng::{
    Credentials, Quirks, Service, SlngQuirk, SttServer, SttServerCommand, SttServerConfig, SttServerEvent,
    TtsServer, TtsServerConfig, TtsServerEvent, authorise,
};
use voxline_protocol::{Machine, Secret};
use voxline_session::{Receiver, Sender, Session, SessionEvent};
use voxline_transport::{Acceptor, Exchange, FaultHandle, FaultPlan, Faulty, Transport};

use super::recordings::Recording;
use super::serve_each;
use crate::run::now;
use listener::Listener;
pub use listener::UNKNOWN_SPEECH;
use studio::{Pace, Studio, Voice};

/// A gateway that speaks tonetext, understands it, and knows some recordings by ear.
///
/// It is the vendor's machines behind whatever links arrive, real or in memory. Clones are the same gateway.
///
/// ```no_run
/// use voxline::net::{Loopback, Net};
/// use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
///
/// # async fn simulate() -> Result<(), Box<dyn std::error::Error>> {
/// let (acceptor, url) = Loopback::default().listen("slng").await?;
/// println!("{url}/v1/bridges/unmute/tts/slng/deepgram/aura:2-en");
/// SlngSimulator::new(SlngSimulatorConfig::default()).serve(acceptor).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SlngSimulator(Arc<Gateway>);

#[derive(Debug)]
struct Gateway {
    config: SlngSimulatorConfig,
    voice: Voice,
    tts_links: FaultHandle,
    stt_links: FaultHandle,
    /// Links so far: each draws its faults from a seed of its own.
    links: AtomicU64,
}

/// How the simulated gateway behaves.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct SlngSimulatorConfig {
    /// Its faults and dialects; none by default.
    pub quirks: Quirks,
    /// What happens to its links; nothing by default.
    pub faults: FaultPlan,
    /// The only key that is accepted; any by default.
    pub key: Option<Secret>,
    /// Human speech it knows; the recordings shipped with the tool by default.
    pub recordings: Vec<Arc<Recording>>,
    /// From a flush to the first audio. 80 ms by default, what a good engine takes.
    pub first_audio: Duration,
    /// How many times faster than real time speech is made. 4 by default.
    pub speed: f64,
    /// From the end of speech to its transcript. 60 ms by default.
    pub recognition: Duration,
}

impl Default for SlngSimulatorConfig {
    fn default() -> Self {
        Self {
            quirks: Quirks::NONE,
            faults: FaultPlan::new(0),
            key: None,
            recordings: vec![Recording::appointment(), Recording::friday()],
            first_audio: Duration::from_millis(80),
            speed: 4.0,
            recognition: Duration::from_millis(60),
        }
    }
}

impl SlngSimulatorConfig {
    /// Misbehaves as `quirks` say.
    #[must_use]
    pub fn with_quirks(self, quirks: Quirks) -> Self {
        Self { quirks, ..self }
    }

    /// Breaks every link by `plan`, each at moments of its own.
    #[must_use]
    pub fn with_faults(self, plan: FaultPlan) -> Self {
        Self { faults: plan, ..self }
    }

    /// Accepts this key alone.
    #[must_use]
    pub fn with_key(self, key: Secret) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Knows these recordings and no others.
    #[must_use]
    pub fn with_recordings(self, recordings: Vec<Arc<Recording>>) -> Self {
        Self { recordings, ..self }
    }
}

impl SlngSimulator {
    /// A gateway nobody has dialled yet.
    #[must_use]
    pub fn new(config: SlngSimulatorConfig) -> Self {
        let (tts_links, stt_links) = (FaultHandle::new(), FaultHandle::new());
        let voice = Voice::default();
        Self(Arc::new(Gateway { config, voice, tts_links, stt_links, links: AtomicU64::new(0) }))
    }

    /// Serves every link that arrives, until no more can. Dropping the future cuts them all.
    pub async fn serve<A: Acceptor>(&self, acceptor: A) {
        serve_each(acceptor, |exchange| self.clone().answer(exchange)).await;
    }

    /// The open links of one service, to be broken at will.
    #[must_use]
    pub fn links(&self, service: Service) -> &FaultHandle {
        if service == Service::Tts { &self.0.tts_links } else { &self.0.stt_links }
    }

    async fn answer<E: Exchange>(self, exchange: E) {
        let service = match self.admit(exchange.request()) {
            Ok(service) if exchange.is_upgrade() => service,
            Ok(_) => {
                let refusal = refusal(StatusCode::UPGRADE_REQUIRED, "this route speaks WebSocket");
                return drop(exchange.respond(refusal).await);
            }
            Err(refusal) => return drop(exchange.respond(*refusal).await),
        };
        // A client that is gone before its upgrade is nobody's error.
        let Ok(link) = exchange.upgrade().await else { return };
        let mut faults = self.0.config.faults.clone();
        // Far apart, so that the next seed's links are others.
        faults.seed = faults.seed.wrapping_mul(SEED_STRIDE) | self.0.links.fetch_add(1, Ordering::Relaxed);
        let link = Faulty::new(link, faults, self.links(service));
        if service == Service::Tts { self.speak(link).await } else { self.listen(link).await }
    }

    /// Which service a request may use.
    fn admit(&self, request: &Request<Bytes>) -> Result<Service, Box<Response<Bytes>>> {
        let path = request.uri().path();
        let Some((service, model)) = Service::of_path(path) else {
            return Err(Box::new(refusal(StatusCode::NOT_FOUND, "no such route")));
        };
        let headers = request.headers().iter();
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let credentials = Credentials::read(headers, request.uri().query());
        let accepts = |key: &str| self.0.config.key.as_ref().is_none_or(|expected| expected.expose() == key);
        match authorise(&credentials, &model, accepts) {
            // The machine refuses the key by a message, after the upgrade.
            Err(_) if self.0.config.quirks.contains(SlngQuirk::AuthFrame) => Ok(service),
            Err(error) => {
                let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
                Err(Box::new(refusal(status, &error.to_string())))
            }
            Ok(()) => Ok(service),
        }
    }

    async fn speak(self, link: impl Transport) {
        let config = TtsServerConfig::default().with_quirks(self.0.config.quirks);
        let (mut sender, mut receiver) = Session::builder(TtsServer::new(config, now())).accept(link).split();
        let pace = Pace { first_audio: self.0.config.first_audio, speed: self.0.config.speed };
        let mut studio: Option<Studio> = None;
        'link: loop {
            let due = studio.as_ref().and_then(Studio::due);
            tokio::select! {
                biased;
                event = next_event(&mut receiver) => match event {
                    Some(TtsServerEvent::Started(init)) => {
                        studio = Some(Studio::new(self.0.voice.clone(), pace, init.format));
                    }
                    Some(TtsServerEvent::Synthesise { turn, text, flush }) => {
                        if let Some(studio) = &mut studio {
                            studio.add(now(), turn, &text, flush);
                        }
                    }
                    Some(TtsServerEvent::Cleared { before }) => {
                        if let Some(studio) = &mut studio {
                            studio.clear(before);
                        }
                    }
                    Some(_) => {}
                    None => break 'link,
                },
                () = sleep_to(due) => {
                    while let Some(command) = studio.as_mut().and_then(|studio| studio.next(now())) {
                        if !give(&mut sender, command) {
                            break 'link;
                        }
                    }
                }
            }
        }
        if let Some(studio) = &mut studio {
            studio.abandon();
        }
    }

    async fn listen(self, link: impl Transport) {
        let config = SttServerConfig::default().with_quirks(self.0.config.quirks);
        let (mut sender, mut receiver) = Session::builder(SttServer::new(config, now())).accept(link).split();
        let mut listener: Option<Listener> = None;
        'link: loop {
            let due = listener.as_ref().and_then(Listener::due);
            tokio::select! {
                biased;
                event = next_event(&mut receiver) => match (event, &mut listener) {
                    (Some(SttServerEvent::Started(init)), _) => {
                        let recordings = self.0.config.recordings.clone();
                        listener = Listener::new(init.rate, recordings, self.0.config.recognition);
                        if listener.is_none() {
                            let message = format!("{} is not offered", init.rate);
                            let error = SttServerCommand::Error { code: "config_error".to_owned(), message };
                            give(&mut sender, error);
                        }
                    }
                    (Some(SttServerEvent::Audio(audio)), Some(listener)) => listener.hear(now(), &audio),
                    (Some(SttServerEvent::Finalize), Some(listener)) => listener.finalize(now()),
                    (Some(SttServerEvent::Close), Some(listener)) => listener.close(now()),
                    (Some(_), _) => {}
                    (None, _) => break 'link,
                },
                () = sleep_to(due) => {
                    while let Some(command) = listener.as_mut().and_then(|listener| listener.next(now())) {
                        if !give(&mut sender, command) {
                            break 'link;
                        }
                    }
                }
            }
        }
    }
}

/// The machine's next event; `None` once the link is over, however it ended.
pub(super) async fn next_event<M: Machine>(receiver: &mut Receiver<M>) -> Option<M::Event> {
    loop {
        if let SessionEvent::Protocol(event) = receiver.next().await?.ok()? {
            return Some(event);
        }
    }
}

/// Gives a command to a machine; false if it is gone, or so far behind that its link is better cut.
pub(super) fn give<M: Machine>(sender: &mut Sender<M>, command: M::Command) -> bool {
    sender.try_send(command).inspect_err(|error| tracing::debug!(error = ?error, "cutting a link")).is_ok()
}

async fn sleep_to(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn refusal(status: StatusCode, words: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::json!({ "error": words }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// More links than one run has.
const SEED_STRIDE: u64 = 1 << 32;
