//! The phone-agent server: takes Plivo streams, and holds each call with speech from a gateway.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use voxline_audio::AudioFormat;
use voxline_protocol::plivo::{
    CallId, DegradedLevel, PlivoConfig, PlivoStream, StreamCallback, StreamNotice,
};
use voxline_protocol::slng::{ConfigError, Route, Service, SttClient, SttConfig, TtsClient, TtsConfig};
use voxline_protocol::{Machine, Secret};
use voxline_session::{
    Admission, Agent, AgentConfig, AgentEvent, PhoneCalls, Responder, RetryPolicy, Session, SessionConfig,
    VendorLimits,
};
use voxline_transport::{Acceptor, Endpoint, EndpointError, Exchange, Transport};

use crate::desk::{FrontDesk, Origin, Verdict};
use crate::lobby::Lobby;
use crate::net::Net;

/// Answers calls: Plivo streams that arrive at `/stream`, each with a responder of its own.
///
/// Clones are the same agent.
pub struct PhoneAgent<N, R> {
    net: N,
    speech: Speech,
    config: AgentConfig,
    responder: R,
    desk: Arc<FrontDesk>,
    lobby: Option<Arc<Lobby>>,
    observer: Observer,
}

/// Is told what happens, and on which call; calls are numbered from 1.
pub type Observer = Arc<dyn Fn(usize, Instant, &AgentEvent) + Send + Sync>;

impl<N: Net, R: Responder + Clone + 'static> PhoneAgent<N, R> {
    /// An agent that speaks and hears through `speech` and thinks with clones of `responder`.
    pub fn new(net: N, speech: Speech, responder: R) -> Self {
        let desk = Arc::new(FrontDesk::open(Origin::FromRequest { forwarded: false }));
        let (config, observer) = (AgentConfig::default(), Arc::new(|_, _, _: &_| {}));
        Self { net, speech, config, responder, desk, lobby: None, observer }
    }

    /// Uses other settings.
    #[must_use]
    pub fn with_config(self, config: AgentConfig) -> Self {
        Self { config, ..self }
    }

    /// Lets `desk` decide who is let in; without one, everybody is.
    #[must_use]
    pub fn with_desk(self, desk: FrontDesk) -> Self {
        Self { desk: Arc::new(desk), ..self }
    }

    /// Hands out avatar sessions too.
    #[must_use]
    pub fn with_lobby(self, lobby: Arc<Lobby>) -> Self {
        Self { lobby: Some(lobby), ..self }
    }

    /// Tells `observer` of everything that happens. It runs on the calls' own tasks and must not block.
    #[must_use]
    pub fn with_observer(
        self,
        observer: impl Fn(usize, Instant, &AgentEvent) + Send + Sync + 'static,
    ) -> Self {
        Self { observer: Arc::new(observer), ..self }
    }

    /// Takes calls until no more can come, or `calls` have ended. A stream that Plivo dials again reaches the call
    /// it belongs to. Dropping the future ends them all.
    pub async fn serve<A: Acceptor>(&self, mut acceptor: A, calls: Option<usize>) {
        let lines = Arc::new(Lines::new(self.calls()));
        let mut running = JoinSet::new();
        let mut ended = 0;
        while calls.is_none_or(|calls| ended < calls) {
            tokio::select! {
                exchange = acceptor.accept() => match exchange {
                    Some(exchange) => _ = running.spawn(self.clone().attend(Arc::clone(&lines), exchange)),
                    None => break,
                },
                Some(call) = running.join_next() => ended += usize::from(call.is_ok_and(|was_call| was_call)),
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Answers one request; true if it was a stream with which a call began, and that call is over.
    async fn attend<E: Exchange>(self, lines: Arc<Lines<E::Transport>>, exchange: E) -> bool {
        if let Some(lobby) = self.lobby.as_ref().filter(|_| Lobby::is_asked(exchange.request().uri().path()))
        {
            let response = lobby.respond(exchange.request()).await;
            // Whoever asked and left does not keep the session, which ends it.
            let _ = exchange.respond(response).await;
            return false;
        }
        let response = match self.desk.receive(now(), exchange.request(), exchange.is_upgrade()) {
            Verdict::Stream(call) => return self.take_stream(&lines, call, exchange).await,
            Verdict::Respond(response) => response,
            Verdict::HungUp(call, response) => {
                let cause = call.hangup_cause.as_deref().unwrap_or("unknown");
                tracing::info!(call = %call.call_id, cause, "the provider says that the call is over");
                response
            }
            Verdict::Status(callback, response) => {
                lines.notice(&callback);
                response
            }
        };
        // Whoever asked and left needs no answer.
        let _ = exchange.respond(response).await;
        false
    }

    async fn take_stream<E: Exchange>(
        self,
        lines: &Lines<E::Transport>,
        call: Option<CallId>,
        exchange: E,
    ) -> bool {
        // Whoever is gone before the upgrade, or never says which call it is, was no call.
        let Ok(link) = exchange.upgrade().await else { return false };
        let round_trip = E::round_trip(&link);
        let (info, session) = match lines.calls.admit(link, call.as_ref()).await {
            Ok(Admission::Call { info, session, .. }) => (info, session),
            Ok(Admission::Redial { info, .. }) => {
                tracing::info!(call = %info.call_id, "the call goes on over a new link");
                return false;
            }
            Ok(_) => return false,
            Err(error) => {
                tracing::warn!(error = %crate::error::chain(&error), "a stream was not taken");
                return false;
            }
        };
        let number = lines.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let level = lines.follow(&info.call_id);
        let agent = self.agent(number, session).with_round_trip(round_trip).with_degradation(level);
        let outcome = agent.run().await;
        lines.forget(&info.call_id);
        if let Err(error) = outcome {
            tracing::warn!(call = number, error = %crate::error::chain(&error), "the call ended badly");
        }
        true
    }

    /// No calls yet, to be held by this agent.
    #[must_use]
    pub fn calls<T: Transport>(&self) -> PhoneCalls<T> {
        let max_queued = self.config.conversation.speech_ahead * 6;
        let mut session = SessionConfig::default();
        session.command_capacity = COMMANDS;
        PhoneCalls::new(PlivoConfig::default().with_max_queued(max_queued), session)
    }

    /// The agent of one call, numbered for the observer. Its speech connects while the call is being heard.
    pub fn agent(&self, number: usize, phone: Session<PlivoStream>) -> Agent<R> {
        let (config, now) = (&self.config, now());
        let tts = TtsClient::new(TtsConfig::new(config.speech, self.speech.voice.clone()), now);
        let tts = self.dial(tts, &self.speech.tts);
        let Ok(hearing) = SttConfig::new(AudioFormat::linear16(config.hearing)) else {
            unreachable!("recognition takes linear audio at every rate")
        };
        let stt = self.dial(SttClient::new(hearing, now), &self.speech.stt);
        let observer = Arc::clone(&self.observer);
        Agent::new(phone, tts, stt, self.responder.clone(), config.clone())
            .with_observer(move |at, event| observer(number, at, event))
    }

    /// A session that connects while the call is already being heard.
    fn dial<M: Machine>(&self, machine: M, endpoint: &Endpoint) -> Session<M> {
        let builder = Session::builder(machine)
            .command_capacity(COMMANDS)
            .limits(&self.speech.limits)
            .retry(self.speech.retry.clone());
        builder.start(self.net.connector(endpoint.clone()))
    }
}

impl<N: Clone, R: Clone> Clone for PhoneAgent<N, R> {
    fn clone(&self) -> Self {
        Self {
            net: self.net.clone(),
            speech: self.speech.clone(),
            config: self.config.clone(),
            responder: self.responder.clone(),
            desk: Arc::clone(&self.desk),
            lobby: self.lobby.clone(),
            observer: Arc::clone(&self.observer),
        }
    }
}

impl<N: fmt::Debug, R: fmt::Debug> fmt::Debug for PhoneAgent<N, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneAgent")
            .field("net", &self.net)
            .field("speech", &self.speech)
            .field("responder", &self.responder)
            .finish_non_exhaustive()
    }
}

/// The calls of one listener.
struct Lines<T> {
    calls: PhoneCalls<T>,
    taken: AtomicUsize,
    levels: Mutex<HashMap<CallId, watch::Sender<Option<DegradedLevel>>>>,
}

impl<T: Transport> Lines<T> {
    fn new(calls: PhoneCalls<T>) -> Self {
        Self { calls, taken: AtomicUsize::new(0), levels: Mutex::default() }
    }

    /// Acts on a status callback: logs what is in order, warns of what is not, and tells the call of a slow link.
    fn notice(&self, callback: &StreamCallback) {
        let (call, stream) = (&callback.call_id, &callback.stream_id);
        match &callback.notice {
            StreamNotice::Degraded(level) => {
                tracing::warn!(%call, %stream, ?level, "the provider cannot get rid of its audio");
                if let Some(told) = self.levels().get(call) {
                    told.send_replace(*level);
                }
            }
            StreamNotice::Dropped(reason) => tracing::warn!(%call, %stream, ?reason, "the stream broke off"),
            StreamNotice::Other(event) => tracing::debug!(%call, %stream, event, "unknown status"),
            notice @ (StreamNotice::Started | StreamNotice::Stopped(_) | _) => {
                tracing::info!(%call, %stream, ?notice, "stream");
            }
        }
    }

    fn follow(&self, call: &CallId) -> watch::Receiver<Option<DegradedLevel>> {
        let (level, told) = watch::channel(None);
        self.levels().insert(call.clone(), level);
        told
    }

    fn forget(&self, call: &CallId) {
        self.levels().remove(call);
    }

    fn levels(&self) -> MutexGuard<'_, HashMap<CallId, watch::Sender<Option<DegradedLevel>>>> {
        // A map is whole after any panic of its user.
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an agent gets its ears and its voice. Clones share the limits on redialling.
#[derive(Debug, Clone)]
pub struct Speech {
    tts: Endpoint,
    stt: Endpoint,
    voice: String,
    limits: VendorLimits,
    retry: RetryPolicy,
}

impl Speech {
    /// Speech from the gateway at `base`, paid with `key`.
    ///
    /// # Errors
    /// The base is no ws, wss, http or https URL, or a model is no model's name.
    pub fn new(base: &str, key: &Secret, models: &Models) -> Result<Self, SpeechError> {
        Ok(Self {
            tts: endpoint(base, Service::Tts, &models.tts, key)?,
            stt: endpoint(base, Service::Stt, &models.stt, key)?,
            voice: models.voice.clone(),
            limits: VendorLimits::default(),
            retry: RetryPolicy::default(),
        })
    }

    /// Redials as `retry` says.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }
}

/// Which models speak and hear.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Speech synthesis.
    pub tts: String,
    /// The synthesis model's voice.
    pub voice: String,
    /// Speech recognition.
    pub stt: String,
}

impl Models {
    /// These models.
    pub fn new(tts: impl Into<String>, voice: impl Into<String>, stt: impl Into<String>) -> Self {
        Self { tts: tts.into(), voice: voice.into(), stt: stt.into() }
    }
}

impl Default for Models {
    /// English, hosted by the gateway, quick.
    fn default() -> Self {
        Self::new("slng/deepgram/aura:2-en", "aura-2-thalia-en", "slng/deepgram/nova:3-en")
    }
}

/// A gateway that cannot be dialled as described.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum SpeechError {
    /// A setting of the route.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// One of the gateway's routes, with its key.
pub(crate) fn endpoint(
    base: &str,
    service: Service,
    model: &str,
    key: &Secret,
) -> Result<Endpoint, SpeechError> {
    let route = Route::new(base, service, model, key.clone())?;
    Ok(Endpoint::parse(&route.url())?.with_bearer(key.clone()))
}

/// Tokio's clock, so that a paused one stops the agent too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Commands that may wait for a session's driver: 10 s of caller audio.
const COMMANDS: usize = 512;
