//! Plays the plan: gateway, agent and caller on one network, and everything that happens written down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;
use voxline_protocol::Secret;
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_protocol::slng::Service;
use voxline_session::{AgentEvent, RetryPolicy, SessionError};
use voxline_transport::{Connector, Endpoint};

use super::plan::{Mishap, Plan, PlannedTurn};
use crate::agent::{Models, PhoneAgent, Speech};
use crate::desk::STREAM_PATH;
use crate::error::ToolError;
use crate::net::Net;
use crate::responder::ScriptedResponder;
use crate::simulate::caller::{Caller, Recording};
use crate::simulate::slng::SlngSimulator;
use crate::simulate::voice::Encoder;

/// Everything that happened, with the time since the call began.
#[derive(Debug, Clone)]
pub(super) struct Play {
    pub(super) agent: Vec<(Duration, AgentEvent)>,
    pub(super) cuts: Vec<Cut>,
    pub(super) turns: Vec<PlayedTurn>,
    pub(super) recording: Recording,
}

/// A link cut on purpose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) at: Duration,
    pub(super) service: Service,
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
    let agent = PhoneAgent::new(net.clone(), speech, ScriptedResponder::new(plan.lines()));
    let agent = agent.with_observer(move |_, at, event| {
        live(event);
        writer.lock().unwrap_or_else(PoisonError::into_inner).push((at, event.clone()));
    });
    // Dropped at the end, and everything in it with it.
    let mut world = JoinSet::new();
    let serving = gateway.clone();
    world.spawn(async move { serving.serve(slng_acceptor).await });
    let mut answering = JoinSet::new();
    answering.spawn(async move { agent.serve(agent_acceptor, Some(1)).await });

    let config = PlivoCallerConfig::new("demo-call", "demo-stream");
    let caller = Caller::dial(net.connector(stream), config).await.map_err(|error| failed(&error))?;
    let began = caller.began();
    let speaker = Encoder::new(caller.format().rate);
    let mut call = Call { caller, gateway, speaker, turns: Vec::new(), cuts: Vec::new() };
    call.hold(plan).await.map_err(|error| failed(&error))?;
    let Call { caller, turns, cuts, .. } = call;
    let recording = caller.hang_up().await;
    // The agent ends with its call; one that does not is ended here.
    let _ = timeout(AGENT_PATIENCE, answering.join_next()).await;
    let agent = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
    let agent = agent.into_iter().map(|(at, event)| (at.saturating_duration_since(began), event)).collect();
    Ok(Play { agent, cuts, turns, recording })
}

/// The call while it is being held.
struct Call<C: Connector> {
    caller: Caller<C>,
    gateway: SlngSimulator,
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
            if cut_at.is_some_and(|at| self.caller.position() >= at) && !self.was_cut(index, Service::Stt) {
                self.cut(index, Service::Stt);
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
                Mishap::Cuts { tts, .. } if !self.was_cut(index, Service::Tts) => {
                    let cut_at = begun.map(|begun| begun + rate.samples_in(tts));
                    if cut_at.is_some_and(|at| self.caller.position() >= at) {
                        self.cut(index, Service::Tts);
                    }
                }
                Mishap::None | Mishap::BargeIn { .. } | Mishap::Cuts { .. } => {}
            }
            if spoken && self.caller.silence() >= END_OF_ANSWER {
                return Ok(());
            }
        }
        Ok(())
    }

    fn cut(&mut self, turn: usize, service: Service) {
        self.gateway.links(service).cut();
        let at = self.caller.format().rate.duration_of(self.caller.position());
        self.cuts.push(Cut { at, service, turn });
    }

    fn was_cut(&self, turn: usize, service: Service) -> bool {
        self.cuts.iter().any(|cut| cut.turn == turn && cut.service == service)
    }
}

/// A person takes a breath after the line is up; the detector learns the line's noise meanwhile.
const BEFORE_THE_FIRST_WORD: Duration = Duration::from_secs(1);
/// Silence after which a caller takes an answer for complete.
const END_OF_ANSWER: Duration = Duration::from_millis(1_200);
/// How long a caller waits for an answer to end.
const ANSWER_PATIENCE: Duration = Duration::from_secs(90);
/// How long the agent may take to clear up after the call.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);
