//! A whole call in memory: a caller, an agent, and a gateway, on a paused clock.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use voxline_protocol::plivo::{CallerCommand, CallerEvent, PlivoCaller, PlivoCallerConfig, PlivoConfig};
use voxline_protocol::slng::{SttClient, SttConfig, TtsClient, TtsConfig};
use voxline_session::{
    Admission, Agent, AgentConfig, AgentError, AgentEvent, AgentHandle, ConversationConfig,
    ConversationEvent, History, Leg, LegEvent, PhoneCalls, Responder, ResponderError, RetryPolicy, Sender,
    Session, SessionConfig, SessionEvent, TurnId,
};
use voxline_transport::memory::{self, MemoryTransport};
use voxline_transport::{Connector, FaultHandle, FaultPlan, FaultyConnector, TransportError};

use crate::speech::{FORMAT, Way, now, sound, words};

/// Answers turn by turn from a script; what it said to be asked for next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) replies: Vec<Vec<String>>,
    /// Pieces that were taken of all replies.
    pub(crate) taken: Arc<Mutex<usize>>,
    answered: usize,
}

impl Script {
    pub(crate) fn new(replies: &[&[String]]) -> Self {
        Self { replies: replies.iter().map(|reply| reply.to_vec()).collect(), ..Self::default() }
    }
}

impl Responder for Script {
    fn respond(&mut self, _: &History) -> BoxStream<'static, Result<String, ResponderError>> {
        let reply = self.replies.get(self.answered).cloned().unwrap_or_default();
        self.answered += 1;
        let taken = Arc::clone(&self.taken);
        let pieces = stream::iter(reply).map(move |piece| {
            *taken.lock().unwrap() += 1;
            Ok(piece + " ")
        });
        pieces.boxed()
    }
}

/// What can be different in a call.
pub(crate) struct Setting {
    pub(crate) script: Script,
    pub(crate) conversation: ConversationConfig,
    pub(crate) synthesis: Way,
    pub(crate) recognition: Way,
    pub(crate) spare: Option<Box<dyn FnMut() -> Option<Session<TtsClient>> + Send>>,
}

impl Setting {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script,
            conversation: ConversationConfig::default(),
            synthesis: Way::to_synthesis(),
            recognition: Way::to_recognition(),
            spare: None,
        }
    }
}

/// A call that is being held.
pub(crate) struct Call {
    caller: Sender<PlivoCaller>,
    ear: Arc<Mutex<Vec<i16>>>,
    events: Arc<Mutex<Vec<(Instant, AgentEvent)>>>,
    pub(crate) handle: AgentHandle,
    pub(crate) phone: FaultHandle,
    pub(crate) synthesis: Way,
    pub(crate) recognition: Way,
    began: Instant,
    agent: JoinHandle<Result<(), AgentError>>,
    _world: JoinSet<()>,
}

impl Call {
    pub(crate) async fn begin(setting: Setting) -> Self {
        let Setting { script, conversation, synthesis, recognition, spare } = setting;
        let (phone, mut streams) = Exchange::new();
        let fault = FaultHandle::new();
        let connector = FaultyConnector::new(phone, FaultPlan::new(1), fault.clone());
        let machine = PlivoCaller::new(PlivoCallerConfig::new("call", "stream").with_format(FORMAT), now());
        let redial = RetryPolicy::new(Duration::from_millis(900), Duration::from_secs(1)).with_seed(1);
        let caller = Session::builder(machine).retry(redial).start(connector);
        let (caller, mut heard) = caller.split();
        let ear = Arc::<Mutex<Vec<i16>>>::default();
        let writer = Arc::clone(&ear);
        let mut world = JoinSet::new();
        world.spawn(async move {
            while let Some(Ok(event)) = heard.next().await {
                if let SessionEvent::Protocol(CallerEvent::Ear(frame)) = event {
                    let samples = frame.audio.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
                    writer.lock().unwrap().extend(samples);
                }
            }
        });

        let calls = PhoneCalls::new(PlivoConfig::default().with_max_queued(QUEUE), SessionConfig::default());
        let stream = streams.recv().await.unwrap();
        let Admission::Call { session, .. } = calls.admit(stream, None).await.unwrap() else {
            panic!("the call's first stream")
        };
        world.spawn(async move {
            while let Some(stream) = streams.recv().await {
                let _ = calls.admit(stream, None).await;
            }
        });
        let (tts, stt) = (tts_over(&synthesis), stt_over(&recognition));
        let events = Arc::<Mutex<Vec<_>>>::default();
        let log = Arc::clone(&events);
        let mut agent = Agent::new(session, tts, stt, script, config(conversation))
            .with_observer(move |at, event| log.lock().unwrap().push((at.into(), event.clone())));
        if let Some(spare) = spare {
            agent = agent.with_spare_speech(spare);
        }
        let handle = agent.handle();
        let agent = tokio::spawn(agent.run());
        let call = Self {
            caller,
            ear,
            events,
            handle,
            phone: fault,
            synthesis,
            recognition,
            began: Instant::now(),
            agent,
            _world: world,
        };
        sleep(Duration::from_secs(1)).await;
        call
    }

    /// The caller says this, from now on.
    pub(crate) async fn says(&mut self, text: &str) {
        self.caller.send(CallerCommand::Speak(sound(text).into())).await.unwrap();
    }

    /// Waits until something was told.
    pub(crate) async fn until(&self, what: impl Fn(&AgentEvent) -> bool) -> Instant {
        let begun = Instant::now();
        loop {
            let told = self.events.lock().unwrap().iter().find(|(_, event)| what(event)).map(|(at, _)| *at);
            if let Some(at) = told {
                return at;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "never told: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What was heard of turn `number`, once it is over.
    pub(crate) async fn turn(&self, number: u32) -> String {
        self.until(|event| ended(event, number).is_some()).await;
        let events = self.events.lock().unwrap();
        events.iter().find_map(|(_, event)| ended(event, number)).unwrap()
    }

    /// Waits until the caller's words of turn `number` are understood.
    pub(crate) async fn understood_turn(&self, number: u32) {
        let is_it = |event: &AgentEvent| said(event).is_some_and(|(turn, _)| turn.get() == number);
        self.until(is_it).await;
    }

    /// The longest silence in the ear between its first and its last sound.
    pub(crate) fn gap(&self) -> Duration {
        let ear = self.ear.lock().unwrap();
        let sound = ear.split(|sample| *sample == 0).filter(|run| !run.is_empty());
        let sound: usize = sound.map(<[i16]>::len).sum();
        let first = ear.iter().position(|sample| *sample != 0).unwrap_or(0);
        let last = ear.iter().rposition(|sample| *sample != 0).unwrap_or(0);
        FORMAT.rate.duration_of((last + 1 - first - sound) as u64)
    }

    /// From the caller's words understood to the last sound of the answer.
    pub(crate) fn took(&self) -> Duration {
        let ear = self.ear.lock().unwrap();
        FORMAT.rate.duration_of(ear.iter().rposition(|sample| *sample != 0).unwrap_or(0) as u64)
    }

    /// All that the caller was understood to say.
    pub(crate) fn understood(&self) -> String {
        let events = self.events.lock().unwrap();
        events.iter().filter_map(|(_, event)| said(event)).map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    }

    /// The words in the caller's ear so far.
    pub(crate) fn heard(&self) -> Vec<(u16, usize)> {
        words(&self.ear.lock().unwrap())
    }

    pub(crate) fn told(&self, what: impl Fn(&AgentEvent) -> bool) -> bool {
        self.events.lock().unwrap().iter().any(|(_, event)| what(event))
    }

    pub(crate) fn log(&self) -> String {
        let mut log = String::new();
        for (at, event) in self.events.lock().unwrap().iter() {
            writeln!(log, "{:?} {event:?}", *at - self.began).unwrap();
        }
        log
    }

    /// The caller hangs up; the agent is gone soon after.
    pub(crate) async fn hang_up(mut self) -> Result<(), AgentError> {
        self.caller.send(CallerCommand::HangUp).await.unwrap();
        self.end().await
    }

    /// The call ends, if it is not over already.
    pub(crate) async fn end(&mut self) -> Result<(), AgentError> {
        timeout(Duration::from_secs(10), &mut self.agent).await.unwrap().unwrap()
    }
}

/// Where Plivo dials us.
struct Exchange(mpsc::UnboundedSender<MemoryTransport>);

impl Exchange {
    fn new() -> (Self, mpsc::UnboundedReceiver<MemoryTransport>) {
        let (streams, dialled) = mpsc::unbounded_channel();
        (Self(streams), dialled)
    }
}

impl Connector for Exchange {
    type Transport = MemoryTransport;

    async fn connect(&self) -> Result<MemoryTransport, TransportError> {
        let (near, far) = memory::pair(64);
        self.0.send(far).map_err(|_| TransportError::Closed)?;
        Ok(near)
    }
}

/// A synthesis session that dials this way.
pub(crate) fn tts_over(way: &Way) -> Session<TtsClient> {
    let machine = TtsClient::new(TtsConfig::new(FORMAT, "ada"), now());
    Session::builder(machine).command_capacity(512).retry(retry()).start(way.clone())
}

pub(crate) fn stt_over(way: &Way) -> Session<SttClient> {
    let machine = SttClient::new(SttConfig::new(FORMAT).unwrap(), now());
    Session::builder(machine).command_capacity(512).retry(retry()).start(way.clone())
}

fn config(conversation: ConversationConfig) -> AgentConfig {
    let mut config = AgentConfig::default().with_conversation(conversation).with_speech(FORMAT);
    config.hearing = FORMAT.rate;
    config
}

pub(crate) fn retry() -> RetryPolicy {
    RetryPolicy::default().with_seed(5)
}

pub(crate) fn is_phone_lost(event: &AgentEvent) -> bool {
    matches!(event, AgentEvent::Leg { leg: Leg::Phone, event: LegEvent::Lost })
}

/// Which turn of the caller's was understood, and how.
fn said(event: &AgentEvent) -> Option<(TurnId, &str)> {
    let AgentEvent::Conversation(ConversationEvent::CallerSaid { turn, text }) = event else { return None };
    Some((*turn, text))
}

/// What was heard of turn `number`, if that is over.
fn ended(event: &AgentEvent, number: u32) -> Option<String> {
    let AgentEvent::Conversation(ConversationEvent::TurnEnded { turn, heard, .. }) = event else {
        return None;
    };
    (turn.get() == number).then(|| heard.clone())
}

/// Whether it is over already.
pub(crate) fn is_ready<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

/// What may be made ahead of the ear.
const QUEUE: Duration = Duration::from_secs(60);
