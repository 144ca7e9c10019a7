//! Plays the plan: gateway, agent and caller on one network, and everything that happens written down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;
use voxline_protocol::agenthuman::{AvatarApi, CreateSession};
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_protocol::slng::Service;
use voxline_protocol::{BaseUrl, Secret};
use voxline_session::{AgentEvent, Avatar, AvatarConfig, Leg, Output, RetryPolicy, SessionError};
use voxline_transport::{Connector, Endpoint};

use super::plan::{Mishap, Plan, PlannedTurn};
use crate::agent::{Models, PhoneAgent, Speech};
use crate::desk::STREAM_PATH;
use crate::error::ToolError;
use crate::net::Net;
use crate::responder::ScriptedResponder;
use crate::run::now;
use crate::simulate::agenthuman::{AvatarEar, AvatarSimulator, AvatarSimulatorConfig};
use crate::simulate::caller::{Caller, HeardBlock, Recording};
use crate::simulate::slng::SlngSimulator;
use crate::simulate::voice::Encoder;

/// Everything that happened, with the time since the call began.
#[derive(Debug, Clone)]
pub(super) struct Play {
    pub(super) agent: Vec<(Duration, AgentEvent)>,
    pub(super) cuts: Vec<Cut>,
    pub(super) turns: Vec<PlayedTurn>,
    pub(super) recording: Recording,
    /// What the avatar said in its room, by the run of the call: its words, and its sound at [`AvatarEar::RATE`].
    pub(super) room: Vec<HeardBlock>,
    pub(super) room_sound: Vec<i16>,
}

/// A link cut on purpose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) at: Duration,
    pub(super) leg: Leg,
    pub(super) turn: usize,
}

/// Where a turn is in the recording, in samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlayedTurn {
    /// The caller's first sample.
    pub(super) said_from: u64,
    /// One past the caller's last.
    pub(super) said_to: u64,
}

/// Plays `plan` on `net` with speech from `gateway`, telling `live` of the agent's events as they happen.
pub(super) async fn play<N: Net>(
    net: N,
    plan: &Plan,
    gateway: SlngSimulator,
    live: impl Fn(&AgentEvent) + Send + Sync + 'static,
) -> Result<Play, ToolError> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        ToolError::failed("the demo's own parts did not meet", error)
    };
    let (slng_acceptor, slng_url) = net.listen("slng").await.map_err(|error| failed(&error))?;
    let (agent_acceptor, agent_url) = net.listen("agent").await.map_err(|error| failed(&error))?;
    let key = Secret::new("simulated").map_err(|error| failed(&error))?;
    let speech = Speech::new(&slng_url, &key, &Models::default()).map_err(|error| failed(&error))?;
    let speech = speech.with_retry(RetryPolicy::default().with_seed(plan.seed));
    let stream = Endpoint::parse(&format!("{agent_url}{STREAM_PATH}")).map_err(|error| failed(&error))?;

    let log: Arc<Mutex<Vec<(Instant, AgentEvent)>>> = Arc::default();
    let writer = Arc::clone(&log);
    // Dropped at the end, and everything in it with it.
    let mut world = JoinSet::new();
    let ear: Arc<Mutex<AvatarEar>> = Arc::default();
    let listening = Arc::clone(&ear);
    // Only this machine is dialled without TLS, in memory too.
    let (acceptor, url) = net.listen("127.0.0.1").await.map_err(|error| failed(&error))?;
    let avatars = AvatarSimulator::with_observer(&url, AvatarSimulatorConfig::default(), move |_, event| {
        listening.lock().unwrap_or_else(PoisonError::into_inner).handle(now(), event);
    });
    let serving = avatars.clone();
    world.spawn(async move { serving.serve(acceptor).await });
    let avatar = avatar(&net, &url, plan).await.map_err(|error| failed(&*error))?;
    let output = Mutex::new(Some(Output::Both(avatar)));

    let agent = PhoneAgent::new(net.clone(), speech, ScriptedResponder::new(plan.lines()));
    let agent = agent.with_outputs(move |_| {
        output.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    });
    let agent = agent.with_observer(move |_, at, event| {
        live(event);
        writer.lock().unwrap_or_else(PoisonError::into_inner).push((at, event.clone()));
    });
    let serving = gateway.clone();
    world.spawn(async move { serving.serve(slng_acceptor).await });
    let mut answering = JoinSet::new();
    answering.spawn(async move { agent.serve(agent_acceptor, Some(1)).await });

    let config = PlivoCallerConfig::new("demo-call", "demo-stream");
    let caller = Caller::dial(net.connector(stream), config).await.map_err(|error| failed(&error))?;
    let began = caller.began();
    let speaker = Encoder::new(caller.format().rate);
    let hearing = Arc::clone(&ear);
    let mut call =
        Call { caller, gateway, avatars, ear: hearing, speaker, turns: Vec::new(), cuts: Vec::new() };
    call.hold(plan).await.map_err(|error| failed(&error))?;
    let Call { caller, turns, cuts, .. } = call;
    let recording = caller.hang_up().await;
    // The agent ends with its call; one that does not is ended here.
    let _ = timeout(AGENT_PATIENCE, answering.join_next()).await;
    let agent = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
    let agent = agent.into_iter().map(|(at, event)| (at.saturating_duration_since(began), event)).collect();
    let ear = std::mem::take(&mut *ear.lock().unwrap_or_else(PoisonError::into_inner));
    let (room, room_sound) = (ear.blocks(began), ear.track(began));
    Ok(Play { agent, cuts, turns, recording, room, room_sound })
}

/// An avatar that is ready when the call comes.
async fn avatar<N: Net>(net: &N, url: &str, plan: &Plan) -> Result<Avatar, Box<dyn std::error::Error>> {
    let api = AvatarApi::new(Secret::new(AvatarSimulatorConfig::KEY)?);
    let api = api.with_base(BaseUrl::parse(url)?);
    let retry = RetryPolicy::default().with_seed(plan.seed).with_max_attempts(6);
    let config = AvatarConfig::new(CreateSession::revision_a("avat_demo")).with_retry(retry);
    let dialling = net.clone();
    let connect = move |endpoint| dialling.connector(endpoint);
    Ok(Avatar::open(net.requester(), connect, api, config).await?)
}

/// The call while it is being held.
struct Call<C: Connector> {
    caller: Caller<C>,
    gateway: SlngSimulator,
    avatars: AvatarSimulator,
    ear: Arc<Mutex<AvatarEar>>,
    speaker: Encoder,
    turns: Vec<PlayedTurn>,
    cuts: Vec<Cut>,
}

impl<C: Connector> Call<C> {
    async fn hold(&mut self, plan: &Plan) -> Result<(), SessionError> {
        self.caller.listen_for(BEFORE_THE_FIRST_WORD).await?;
        for (index, turn) in plan.turns.iter().enumerate() {
            self.speak(index, turn).await?;
            self.hear_answer(index, turn).await?;
        }
        Ok(())
    }

    async fn speak(&mut self, index: usize, turn: &PlannedTurn) -> Result<(), SessionError> {
        let sound = turn.said.sound(&mut self.speaker, self.caller.format().rate);
        self.caller.say(&sound).await?;
        let said_to = self.caller.said_to();
        let said_from = said_to - sound.len() as u64;
        self.turns.push(PlayedTurn { said_from, said_to });
        let cut_at = match turn.mishap {
            Mishap::Cuts { stt, .. } => Some(said_from + self.caller.format().rate.samples_in(stt)),
            Mishap::None | Mishap::BargeIn { .. } => None,
        };
        while self.caller.position() < said_to {
            if self.caller.listen().await?.is_none() {
                break;
            }
            if cut_at.is_some_and(|at| self.caller.position() >= at) && !self.was_cut(index, Leg::Stt) {
                self.cut(index, Leg::Stt);
                // The avatar has nothing to say just then, so nothing can be said twice.
                self.cut(index, Leg::Avatar);
            }
        }
        Ok(())
    }

    /// Listens until the answer is over, or until the caller has heard enough of it.
    async fn hear_answer(&mut self, index: usize, turn: &PlannedTurn) -> Result<(), SessionError> {
        let rate = self.caller.format().rate;
        let asked = self.turns[index].said_to;
        let give_up = asked + rate.samples_in(ANSWER_PATIENCE);
        while self.caller.position() < give_up && self.caller.listen().await?.is_some() {
            let mut answer = self.caller.heard().iter().filter(|block| block.start >= asked);
            let blocks = answer.clone().count();
            let begun = answer.clone().next().map(|block| block.end);
            let spoken = answer.next_back().is_some_and(|block| block.last);
            match turn.mishap {
                Mishap::BargeIn { after_blocks } if blocks >= after_blocks => return Ok(()),
                Mishap::Cuts { tts, .. } if !self.was_cut(index, Leg::Tts) => {
                    let cut_at = begun.map(|begun| begun + rate.samples_in(tts));
                    if cut_at.is_some_and(|at| self.caller.position() >= at) {
                        self.cut(index, Leg::Tts);
                    }
                }
                Mishap::None | Mishap::BargeIn { .. } | Mishap::Cuts { .. } => {}
            }
            if spoken && self.caller.silence() >= END_OF_ANSWER && self.is_room_quiet() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the avatar, whom the caller sees, has finished too: it begins later than the phone.
    fn is_room_quiet(&self) -> bool {
        let until = self.ear.lock().unwrap_or_else(PoisonError::into_inner).until();
        until.is_none_or(|until| until + BREATH <= now())
    }

    fn cut(&mut self, turn: usize, leg: Leg) {
        match leg {
            Leg::Stt => self.gateway.links(Service::Stt).cut(),
            Leg::Tts => self.gateway.links(Service::Tts).cut(),
            Leg::Avatar => self.avatars.links().cut(),
            Leg::Phone | _ => return,
        };
        let at = self.caller.format().rate.duration_of(self.caller.position());
        self.cuts.push(Cut { at, leg, turn });
    }

    fn was_cut(&self, turn: usize, leg: Leg) -> bool {
        self.cuts.iter().any(|cut| cut.turn == turn && cut.leg == leg)
    }
}

/// A person takes a breath after the line is up; the detector learns the line's noise meanwhile.
const BEFORE_THE_FIRST_WORD: Duration = Duration::from_secs(1);
/// Silence after which a caller takes an answer for complete.
const END_OF_ANSWER: Duration = Duration::from_millis(1_200);
/// Silence after which a caller takes the avatar for finished.
const BREATH: Duration = Duration::from_millis(500);
/// How long a caller waits for an answer to end.
const ANSWER_PATIENCE: Duration = Duration::from_secs(90);
/// How long the agent may take to clear up after the call.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);
