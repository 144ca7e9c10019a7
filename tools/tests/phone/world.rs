//! A gateway, an agent that knows its lines, and a caller, all in memory under a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use voxline::agent::{Models, PhoneAgent, Speech};
use voxline::desk::STREAM_PATH;
use voxline::net::{InMemory, Net};
use voxline::responder::ScriptedResponder;
use voxline::simulate::caller::Caller;
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline::simulate::voice::Encoder;
use voxline_protocol::Secret;
use voxline_protocol::plivo::{CallId, PlivoCallerConfig};
use voxline_session::{AgentConfig, AgentEvent, AgentHandle, ConversationEvent};
use voxline_transport::memory::MemoryConnector;
use voxline_transport::{Endpoint, FaultHandle, FaultPlan, FaultyConnector};

pub(crate) type Events = Arc<Mutex<Vec<ConversationEvent>>>;

/// A gateway, an agent that knows its lines, and a caller whose link can be cut.
pub(crate) struct World {
    pub(crate) gateway: SlngSimulator,
    _serving: JoinSet<()>,
    pub(crate) answering: JoinSet<()>,
    pub(crate) caller: Caller<FaultyConnector<MemoryConnector>>,
    pub(crate) link: FaultHandle,
    pub(crate) speaker: Encoder,
    pub(crate) events: Events,
    /// A hand on each call.
    pub(crate) handles: Arc<Mutex<Vec<AgentHandle>>>,
    /// The calls that the agent had hung up.
    pub(crate) hung_up: Arc<Mutex<Vec<CallId>>>,
}

impl World {
    pub(crate) async fn new(seed: u64, config: AgentConfig) -> Self {
        let net = InMemory::new();
        let (slng, slng_url) = net.listen("slng").await.unwrap();
        let (acceptor, agent_url) = net.listen("agent").await.unwrap();
        let key = Secret::new("simulated").unwrap();
        let speech = Speech::new(&slng_url, &key, &Models::default()).unwrap();
        let lines = LINES.map(|(said, reply)| (said.to_owned(), reply.to_owned())).to_vec();
        let events = Events::default();
        let log = Arc::clone(&events);
        let agent = PhoneAgent::new(net.clone(), speech, ScriptedResponder::new(lines)).with_config(config);
        let agent = agent.with_observer(move |_, _, event| {
            if let AgentEvent::Conversation(event) = event {
                log.lock().unwrap().push(event.clone());
            }
        });
        let hung_up = Arc::<Mutex<Vec<CallId>>>::default();
        let desk = Arc::clone(&hung_up);
        let agent = agent.with_hang_up(move |call| {
            desk.lock().unwrap().push(call);
            async {}
        });
        let handles = Arc::<Mutex<Vec<AgentHandle>>>::default();
        let taken = Arc::clone(&handles);
        let agent = agent.with_handles(move |_, handle| taken.lock().unwrap().push(handle));
        let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
        let (mut serving, mut answering) = (JoinSet::new(), JoinSet::new());
        let serves = gateway.clone();
        serving.spawn(async move { serves.serve(slng).await });
        answering.spawn(async move { agent.serve(acceptor, Some(1)).await });
        let link = FaultHandle::new();
        let stream = Endpoint::parse(&format!("{agent_url}{STREAM_PATH}")).unwrap();
        let connector = FaultyConnector::new(net.connector(stream), FaultPlan::new(seed), link.clone());
        let caller = Caller::dial(connector, PlivoCallerConfig::new("call", "stream")).await.unwrap();
        let speaker = Encoder::new(caller.format().rate);
        Self { gateway, _serving: serving, answering, caller, link, speaker, events, handles, hung_up }
    }

    /// Asks, and listens until the answer is over, cutting the link at these times after the question.
    pub(crate) async fn ask(&mut self, question: &str, cuts: &[Duration]) -> Answer {
        self.caller.listen_for(Duration::from_secs(1)).await.unwrap();
        self.listen_to(question, cuts).await
    }

    /// Speaks now, and listens until the answer is over. `from` is where the speaking began.
    pub(crate) async fn ask_at_once(&mut self, question: &str) -> Answer {
        let from = self.caller.position();
        Answer { from, ..self.listen_to(question, &[]).await }
    }

    async fn listen_to(&mut self, question: &str, cuts: &[Duration]) -> Answer {
        let rate = self.caller.format().rate;
        let sound = self.speaker.encode(question);
        let earlier = self.events.lock().unwrap().len();
        self.caller.say(&sound).await.unwrap();
        let asked = self.caller.said_to();
        let mut cuts = cuts.iter().map(|cut| asked + rate.samples_in(*cut)).collect::<Vec<_>>();
        cuts.reverse();
        let mut cut_at = Vec::new();
        while self.caller.position() < asked + rate.samples_in(Duration::from_secs(40)) {
            assert!(self.caller.listen().await.unwrap().is_some(), "the call goes on");
            if cuts.last().is_some_and(|cut| self.caller.position() >= *cut) {
                cuts.pop();
                self.link.cut();
                cut_at.push(self.caller.position());
            }
            // A turn that was spoken over has ended too, but is not the one that was asked for.
            let answered = self.events.lock().unwrap()[earlier..]
                .iter()
                .any(|event| matches!(event, ConversationEvent::TurnEnded { interrupted: false, .. }));
            if answered && cuts.is_empty() && self.caller.silence() > Duration::from_secs(2) {
                break;
            }
        }
        Answer { from: asked, to: self.caller.position(), cuts: cut_at }
    }

    /// What was said and done, without the times.
    pub(crate) fn dialogue(&self) -> Vec<ConversationEvent> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| !matches!(event, ConversationEvent::Answering { .. })).cloned().collect()
    }
}

/// Where an answer is in the recording, and where in it the link was cut.
pub(crate) struct Answer {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) cuts: Vec<u64>,
}

/// The samples between the first and the last sound.
pub(crate) fn trimmed(samples: &[i16]) -> &[i16] {
    let Some(first) = samples.iter().position(|sample| !quiet(*sample)) else { return &[] };
    let last = samples.iter().rposition(|sample| !quiet(*sample)).unwrap_or(first);
    &samples[first..=last]
}

pub(crate) fn quiet(sample: i16) -> bool {
    sample.unsigned_abs() <= 33
}

/// SplitMix64.
pub(crate) fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*random ^ (*random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 3
}

/// How many calls a property is tried on.
pub(crate) fn schedules() -> u64 {
    if std::env::var_os("VOXLINE_HEAVY").is_some() { 1_000 } else { 40 }
}

/// Samples at 8 kHz.
pub(crate) const SECOND: usize = 8_000;
pub(crate) const LINES: [(&str, &str); 3] = [
    (
        "When can I come in?",
        "You can come on Friday at ten, or on Monday at noon. Both are free for an hour. Which of them do you like?",
    ),
    ("Hold on.", "Yes, I am listening."),
    ("Monday at noon.", "Then I have you down for Monday at noon."),
];
