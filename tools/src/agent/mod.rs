//! The phone-agent server: takes Plivo streams, and holds each call with speech from a gateway.

mod lines;
mod speech;
mod standby;

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::timeout;
use voxline_audio::AudioFormat;
use voxline_protocol::Machine;
use voxline_protocol::plivo::{CallId, PlivoConfig, PlivoStream};
use voxline_protocol::slng::{SttClient, SttConfig, TtsClient, TtsConfig};
use voxline_session::{
    Admission, Agent, AgentConfig, AgentEvent, AgentHandle, Failover, Output, PhoneCalls, Responder, Say,
    Session, SessionConfig, StreamEnd,
};
use voxline_transport::{Acceptor, Exchange, RoundTrip, Transport, text_response};

use crate::desk::{FrontDesk, Origin, Verdict};
use crate::lobby::Lobby;
use crate::net::Net;
use crate::run::now;
use lines::Lines;
pub(crate) use speech::endpoint;
pub use speech::{Models, Speech, SpeechError};
use standby::Standby;

/// Answers calls: Plivo streams that arrive at `/stream`, each with a responder of its own.
///
/// Clones are the same agent.
pub struct PhoneAgent<N: Net, R> {
    net: N,
    speech: Speech,
    tts: Failover<N::Connector>,
    stt: Failover<N::Connector>,
    config: AgentConfig,
    responder: R,
    desk: Arc<FrontDesk>,
    lobby: Option<Arc<Lobby>>,
    outputs: Outputs,
    lines: Arc<Lines>,
    hang_up: Option<HangUp>,
    hand_over: Option<HandOver>,
    greeting: Option<Arc<str>>,
    observer: Observer,
    /// How many synthesis sessions stand by while somebody serves.
    spares: usize,
    standby: Arc<Standby<Failover<N::Connector>>>,
}

type Outputs = Arc<dyn Fn(usize) -> Output + Send + Sync>;

/// Is told what happens, and on which call; calls are numbered from 1.
pub type Observer = Arc<dyn Fn(usize, Instant, &AgentEvent) + Send + Sync>;
type HandOver = Arc<dyn Fn(usize, AgentHandle) + Send + Sync>;
type HangUp = Arc<dyn Fn(CallId) -> BoxFuture<'static, ()> + Send + Sync>;

impl<N: Net, R: Responder + Clone + 'static> PhoneAgent<N, R> {
    /// An agent that speaks and hears through `speech` and thinks with clones of `responder`.
    pub fn new(net: N, speech: Speech, responder: R) -> Self {
        let desk = Arc::new(FrontDesk::open(Origin::FromRequest { forwarded: false }));
        let (config, observer) = (AgentConfig::default(), Arc::new(|_, _, _: &_| {}));
        let lines = Arc::new(Lines::new(MAX_CALLS));
        let (tts, stt) = (speech.tts.connector(&net), speech.stt.connector(&net));
        Self {
            net,
            speech,
            tts,
            stt,
            config,
            responder,
            desk,
            lobby: None,
            outputs: Arc::new(|_| Output::Phone),
            lines,
            hang_up: None,
            hand_over: None,
            greeting: None,
            observer,
            spares: 0,
            standby: Arc::default(),
        }
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

    /// Lets `outputs` say through what each call's agent speaks, the phone or an avatar; calls are numbered from 1. It is
    /// asked when the call begins, so an avatar should be open by then.
    #[must_use]
    pub fn with_outputs(self, outputs: impl Fn(usize) -> Output + Send + Sync + 'static) -> Self {
        Self { outputs: Arc::new(outputs), ..self }
    }

    /// Hands out avatar sessions too.
    #[must_use]
    pub fn with_lobby(self, lobby: Arc<Lobby>) -> Self {
        Self { lobby: Some(lobby), ..self }
    }

    /// Holds at most so many calls at once, 1,000 unless set. When all lines are taken, an answer webhook is answered
    /// by XML that ends the call as busy, and a stream of a call that is not being held by 503.
    #[must_use]
    pub fn with_max_calls(self, calls: usize) -> Self {
        Self { lines: Arc::new(Lines::new(calls)), ..self }
    }

    /// Ends calls through `hang_up` that end on our side: after a link that was lost for good, when the agent is done,
    /// and in [`shut_down`](Self::shut_down). Its future must end in its own time. Without one, Plivo ends a call when
    /// its XML runs out.
    #[must_use]
    pub fn with_hang_up<F: Future<Output = ()> + Send + 'static>(
        self,
        hang_up: impl Fn(CallId) -> F + Send + Sync + 'static,
    ) -> Self {
        Self { hang_up: Some(Arc::new(move |call| Box::pin(hang_up(call)))), ..self }
    }

    /// Gives `take` a hand on each call as it begins, for what the application has to say in it by itself.
    #[must_use]
    pub fn with_handles(self, take: impl Fn(usize, AgentHandle) + Send + Sync + 'static) -> Self {
        Self { hand_over: Some(Arc::new(take)), ..self }
    }

    /// Says this when a call that it [`serve`](Self::serve)s begins; the caller may speak over it.
    #[must_use]
    pub fn with_greeting(self, words: impl Into<Arc<str>>) -> Self {
        Self { greeting: Some(words.into()), ..self }
    }

    /// Tells `observer` of everything that happens. It runs on the calls' own tasks and must not block.
    #[must_use]
    pub fn with_observer(
        self,
        observer: impl Fn(usize, Instant, &AgentEvent) + Send + Sync + 'static,
    ) -> Self {
        Self { observer: Arc::new(observer), ..self }
    }

    /// Keeps so many synthesis sessions connected and ready while it serves: for the next calls, whose first sentence
    /// then waits for no handshake, and for a call that loses its own. Each is a connection that the gateway counts. A
    /// call for which none is ready connects its own, as all do without a standby.
    #[must_use]
    pub fn with_standby(self, sessions: usize) -> Self {
        Self { spares: sessions, standby: Arc::default(), ..self }
    }

    /// Takes calls until no more can come, or `calls` have ended. A stream that Plivo dials again reaches the call
    /// it belongs to. What stands by is closed in the end. Dropping the future ends all calls.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub async fn serve<A: Acceptor>(&self, mut acceptor: A, calls: Option<usize>) {
        let phone = self.calls();
        let connector = || self.tts.clone();
        self.standby.open(self.spares, connector, self.synthesis(), self.session());
        let mut running = JoinSet::new();
        let mut closing = pin!(self.lines.closed());
        let (mut ended, mut is_closing) = (0, false);
        // Until the last call is over, its links and webhooks still come here.
        while calls.is_none_or(|calls| ended < calls) && !(is_closing && running.is_empty()) {
            tokio::select! {
                () = &mut closing, if !is_closing => is_closing = true,
                exchange = acceptor.accept() => match exchange {
                    Some(exchange) => _ = running.spawn(self.clone().attend(phone.clone(), exchange)),
                    None => break,
                },
                Some(call) = running.join_next() => ended += usize::from(call.is_ok_and(|was_call| was_call)),
            }
        }
        while running.join_next().await.is_some() {}
        self.standby.close().await;
    }

    /// Takes no more calls and ends those that live, also those that are just being let in: they are hung up, and a
    /// stream that is still there a second later, or without a way to hang up, is closed from here.
    /// [`serve`](Self::serve) ends once all of them have.
    pub fn shut_down(&self) {
        self.lines.close();
    }

    /// Answers one request; true if it was a stream with which a call began, and that call is over.
    async fn attend<E: Exchange>(self, phone: PhoneCalls<E::Transport>, exchange: E) -> bool {
        if let Some(lobby) = self.lobby.as_ref().filter(|_| Lobby::is_asked(exchange.request().uri().path()))
        {
            let response = lobby.respond(exchange.request()).await;
            // Whoever asked and left does not keep the session, which ends it.
            let _ = exchange.respond(response).await;
            return false;
        }
        let response = match self.desk.receive(now(), exchange.request(), exchange.is_upgrade()) {
            Verdict::Stream(call) => return self.take_stream(&phone, call, exchange).await,
            Verdict::Answer(response) if self.lines.room().is_some() => response,
            Verdict::Answer(_) => {
                tracing::warn!("{}; a call was declined", self.lines.refusal());
                FrontDesk::busy()
            }
            Verdict::Respond(response) => response,
            Verdict::HungUp(call, response) => {
                let cause = call.hangup_cause.as_deref().unwrap_or("unknown");
                tracing::info!(call = %call.call_id, cause, "the provider says that the call is over");
                response
            }
            Verdict::Status(callback, response) => {
                self.lines.notice(&callback);
                response
            }
        };
        // Whoever asked and left needs no answer.
        let _ = exchange.respond(response).await;
        false
    }

    async fn take_stream<E: Exchange>(
        self,
        phone: &PhoneCalls<E::Transport>,
        call: Option<CallId>,
        exchange: E,
    ) -> bool {
        let room = self.lines.room();
        // Another link of a call that is being held needs no line of its own.
        if room.is_none() && !call.as_ref().is_some_and(|call| self.lines.holds(call)) {
            let why = self.lines.refusal();
            tracing::warn!("{why}; a stream was refused");
            let full = text_response(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
            let _ = exchange.respond(full).await;
            return false;
        }
        // Whoever is gone before the upgrade, or never says which call it is, was no call.
        let Ok(link) = exchange.upgrade().await else { return false };
        let round_trip = E::round_trip(&link);
        let (info, session) = match phone.admit(link, call.as_ref()).await {
            Ok(Admission::Call { info, session, .. }) => (info, session),
            Ok(Admission::Redial { info, .. }) => {
                tracing::info!(call = %info.call_id, "the call goes on over a new link");
                self.lines.relink(&info.call_id, round_trip);
                return false;
            }
            Ok(_) => return false,
            Err(error) => {
                tracing::warn!(error = %crate::error::chain(&error), "a stream was not taken");
                return false;
            }
        };
        // The call may have ended while its redial was let in.
        let Some(_room) = room.or_else(|| self.lines.room()) else { return false };
        self.hold(&info.call_id, session, round_trip).await;
        true
    }

    /// Holds one call to its end, and has Plivo end it too.
    async fn hold(self, call: &CallId, session: Session<PlivoStream>, round_trip: RoundTrip) {
        let (number, line) = self.lines.take(call, round_trip);
        let (ended, observer) = (Arc::new(Mutex::new(None)), Arc::clone(&self.observer));
        let end = Arc::clone(&ended);
        let agent = self.agent(number, session);
        let agent = agent.with_round_trip(line.round_trip).with_degradation(line.level);
        let agent = agent.with_observer(move |at, event| {
            if let AgentEvent::StreamEnded(record) = event {
                // A call that is given another stream ends as the last of them does.
                *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(record.end);
            }
            observer(number, at, event);
        });
        let Self { lines, mut hang_up, greeting, .. } = self;
        let handle = agent.handle();
        let greet = async {
            if let Some(words) = greeting {
                // Whoever hangs up before it is said needs no greeting.
                let _ = handle.say(Say::new(&*words)).await;
            }
        };
        let mut running = pin!(async { tokio::join!(agent.run(), greet).0 });
        let outcome = tokio::select! {
            outcome = &mut running => outcome,
            () = lines.closed() => {
                let asking = hang_up.take().map(|hang_up| hang_up(call.clone()));
                end_call(running, asking, &handle).await
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(call = number, error = %crate::error::chain(&error), "the call ended badly");
        }
        let end = *ended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hang_up) = hang_up.filter(|_| end != Some(StreamEnd::HungUp)) {
            hang_up(call.clone()).await;
        }
        lines.free(call);
    }

    /// No calls yet, to be held by this agent.
    #[must_use]
    pub fn calls<T: Transport>(&self) -> PhoneCalls<T> {
        let conversation = &self.config.conversation;
        let max_queued = conversation.speech_ahead.saturating_add(conversation.sentence_limit);
        let mut session = SessionConfig::default();
        session.command_capacity = COMMANDS;
        PhoneCalls::new(PlivoConfig::default().with_max_queued(max_queued), session)
    }

    /// The agent of one call, numbered for the observer. Its speech connects while the call is being heard.
    pub fn agent(&self, number: usize, phone: Session<PlivoStream>) -> Agent<R> {
        let (config, now) = (&self.config, now());
        let tts = self.standby.lease().unwrap_or_else(|| self.dial(self.synthesis()(), &self.tts));
        let Ok(hearing) = SttConfig::new(AudioFormat::linear16(config.hearing)) else {
            unreachable!("recognition takes linear audio at every rate")
        };
        let stt = self.dial(SttClient::new(hearing, now), &self.stt);
        let (observer, standby) = (Arc::clone(&self.observer), Arc::clone(&self.standby));
        let agent = Agent::new(phone, tts, stt, self.responder.clone(), config.clone())
            .with_output((self.outputs)(number))
            .with_spare_speech(move || standby.lease())
            .with_observer(move |at, event| observer(number, at, event));
        if let Some(hand_over) = &self.hand_over {
            hand_over(number, agent.handle());
        }
        agent
    }

    /// A session that connects while the call is already being heard.
    fn dial<M: Machine>(&self, machine: M, connector: &Failover<N::Connector>) -> Session<M> {
        Session::builder(machine).config(self.session()).start(connector.clone())
    }

    fn synthesis(&self) -> impl Fn() -> TtsClient + Send + Sync + 'static {
        let (format, voice) = (self.config.speech, self.speech.voice.clone());
        move || TtsClient::new(TtsConfig::new(format, voice.clone()), now())
    }

    fn session(&self) -> SessionConfig {
        let mut session = SessionConfig::default();
        session.command_capacity = COMMANDS;
        session.limits = self.speech.limits.clone();
        session.retry = self.speech.retry.clone();
        session
    }
}

impl<N: Net, R: Clone> Clone for PhoneAgent<N, R> {
    fn clone(&self) -> Self {
        Self {
            net: self.net.clone(),
            speech: self.speech.clone(),
            tts: self.tts.clone(),
            stt: self.stt.clone(),
            config: self.config.clone(),
            responder: self.responder.clone(),
            desk: Arc::clone(&self.desk),
            lobby: self.lobby.clone(),
            outputs: Arc::clone(&self.outputs),
            lines: Arc::clone(&self.lines),
            hang_up: self.hang_up.clone(),
            hand_over: self.hand_over.clone(),
            greeting: self.greeting.clone(),
            observer: Arc::clone(&self.observer),
            spares: self.spares,
            standby: Arc::clone(&self.standby),
        }
    }
}

impl<N: Net, R: fmt::Debug> fmt::Debug for PhoneAgent<N, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneAgent")
            .field("net", &self.net)
            .field("speech", &self.speech)
            .field("responder", &self.responder)
            .finish_non_exhaustive()
    }
}

/// Has a call hung up, and ended from here if that does not end its stream. What is being asked is asked to its end.
async fn end_call<T>(
    mut running: Pin<&mut impl Future<Output = T>>,
    asking: Option<BoxFuture<'static, ()>>,
    handle: &AgentHandle,
) -> T {
    if let Some(mut asking) = asking {
        tokio::select! {
            outcome = &mut running => {
                asking.await;
                return outcome;
            }
            () = &mut asking => {}
        }
        if let Ok(outcome) = timeout(LINGER, &mut running).await {
            return outcome;
        }
    }
    handle.end();
    running.await
}

/// About what one core can hear.
const MAX_CALLS: usize = 1_000;
/// For the provider to end the stream of a call that was hung up.
const LINGER: Duration = Duration::from_secs(1);
/// Commands that may wait for a session's driver: 10 s of caller audio.
const COMMANDS: usize = 512;
