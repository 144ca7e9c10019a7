//! A call whose phone link breaks: the dialogue goes on, every sample is heard, and the third loss ends it all.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set itself up has nothing to say"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use voxline::agent::{Models, PhoneAgent, Speech};
use voxline::desk::STREAM_PATH;
use voxline::net::{InMemory, Net};
use voxline::responder::ScriptedResponder;
use voxline::simulate::caller::Caller;
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline::simulate::voice::Encoder;
use voxline_protocol::Secret;
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_protocol::slng::Service;
use voxline_session::{AgentEvent, ConversationEvent};
use voxline_transport::memory::MemoryConnector;
use voxline_transport::{Endpoint, FaultHandle, FaultPlan, FaultyConnector};

type Events = Arc<Mutex<Vec<ConversationEvent>>>;

/// A gateway, an agent that knows its lines, and a caller whose link can be cut.
struct World {
    gateway: SlngSimulator,
    _serving: JoinSet<()>,
    answering: JoinSet<()>,
    caller: Caller<FaultyConnector<MemoryConnector>>,
    link: FaultHandle,
    speaker: Encoder,
    events: Events,
}

impl World {
    async fn new(seed: u64) -> Self {
        let net = InMemory::new();
        let (slng, slng_url) = net.listen("slng").await.unwrap();
        let (acceptor, agent_url) = net.listen("agent").await.unwrap();
        let key = Secret::new("simulated").unwrap();
        let speech = Speech::new(&slng_url, &key, &Models::default()).unwrap();
        let lines = LINES.map(|(said, reply)| (said.to_owned(), reply.to_owned())).to_vec();
        let events = Events::default();
        let log = Arc::clone(&events);
        let agent = PhoneAgent::new(net.clone(), speech, ScriptedResponder::new(lines));
        let agent = agent.with_observer(move |_, _, event| {
            if let AgentEvent::Conversation(event) = event {
                log.lock().unwrap().push(event.clone());
            }
        });
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
        Self { gateway, _serving: serving, answering, caller, link, speaker, events }
    }

    /// Asks, and listens until the answer is over, cutting the link at these times after the question.
    async fn ask(&mut self, question: &str, cuts: &[Duration]) -> Answer {
        let rate = self.caller.format().rate;
        self.caller.listen_for(Duration::from_secs(1)).await.unwrap();
        let sound = self.speaker.encode(question);
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
            let turns = self.events.lock().unwrap();
            let over = matches!(turns.last(), Some(ConversationEvent::TurnEnded { .. }));
            if over && cuts.is_empty() && self.caller.silence() > Duration::from_secs(2) {
                break;
            }
        }
        Answer { from: asked, to: self.caller.position(), cuts: cut_at }
    }

    /// What was said and done, without the times.
    fn dialogue(&self) -> Vec<ConversationEvent> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| !matches!(event, ConversationEvent::Answering { .. })).cloned().collect()
    }
}

/// Where an answer is in the recording, and where in it the link was cut.
struct Answer {
    from: u64,
    to: u64,
    cuts: Vec<u64>,
}

#[tokio::test(start_paused = true)]
async fn two_drops_and_redials_lose_no_sample_and_no_word_of_the_dialogue() {
    let whole = converse(0, &[]).await;
    let spoken = trimmed(&whole.answer);
    for seed in 0..schedules() {
        let mut random = seed;
        let first = 200 + next(&mut random) % 4_000;
        let second = first + 1_200 + next(&mut random) % 4_000;
        let cuts = [first, second].map(Duration::from_millis);
        let call = converse(seed, &cuts).await;
        assert_eq!(call.dialogue, whole.dialogue, "seed {seed}, cuts {cuts:?}");
        check_every_sample(spoken, &call, seed);
    }
}

/// One call of two turns, the first of them disturbed.
struct Call {
    dialogue: Vec<ConversationEvent>,
    answer: Vec<i16>,
    /// Offsets in the answer.
    cuts: Vec<usize>,
}

async fn converse(seed: u64, cuts: &[Duration]) -> Call {
    let mut world = World::new(seed).await;
    let answer = world.ask(LINES[0].0, cuts).await;
    assert_eq!(answer.cuts.len(), cuts.len(), "seed {seed}");
    world.ask(LINES[1].0, &[]).await;
    let dialogue = world.dialogue();
    let recording = world.caller.hang_up().await;
    timeout(Duration::from_secs(5), world.answering.join_next()).await.expect("the agent ends with its call");
    let cuts = answer.cuts.iter().map(|cut| (cut - answer.from) as usize).collect();
    Call { dialogue, answer: recording.heard[answer.from as usize..answer.to as usize].to_vec(), cuts }
}

/// Follows the answer over its cuts: each part goes on where the one before broke off, or a little earlier, and as
/// soon as the link was back.
fn check_every_sample(spoken: &[i16], call: &Call, seed: u64) {
    let mut heard = 0;
    let mut from = 0;
    for part in 0..=call.cuts.len() {
        let to = call.cuts.get(part).copied().unwrap_or(call.answer.len());
        let sound = trimmed(&call.answer[from..to]);
        if sound.is_empty() {
            from = to;
            continue;
        }
        let silence = call.answer[from..to].iter().take_while(|sample| quiet(**sample)).count();
        let probe = &sound[..sound.len().min(PROBE)];
        let earliest = usize::saturating_sub(heard, SECOND);
        let resumed = (earliest..spoken.len()).rev().find(|at| {
            spoken[*at..].starts_with(probe)
                && spoken[heard.min(*at)..*at].iter().all(|sample| quiet(*sample))
        });
        let resumed = resumed.unwrap_or_else(|| panic!("seed {seed}: part {part} is no part of the answer"));
        assert!(spoken[resumed..].starts_with(sound), "seed {seed}: part {part} is whole");
        if part > 0 && heard > 0 {
            let pause = resumed.saturating_sub(heard);
            let limit = OUTAGE + SECOND * 3 / 10 + pause;
            assert!(silence <= limit, "seed {seed}: {silence} samples of silence, {limit} allowed");
        }
        heard = resumed + sound.len();
        from = to;
    }
    assert_eq!(heard, spoken.len(), "seed {seed}: heard to the last sample");
}

#[tokio::test(start_paused = true)]
async fn the_third_loss_ends_the_call_and_every_paid_session() {
    for seed in 0..schedules() {
        let mut random = seed;
        let mut world = World::new(seed).await;
        world.caller.listen_for(Duration::from_secs(1)).await.unwrap();
        let sound = world.speaker.encode(LINES[0].0);
        world.caller.say(&sound).await.unwrap();
        for _ in 0..2 {
            let span = Duration::from_millis(1_500 + next(&mut random) % 3_000);
            world.caller.listen_for(span).await.unwrap();
            world.link.cut();
        }
        world.caller.listen_for(Duration::from_millis(1_500)).await.unwrap();
        assert_eq!(world.answering.len(), 1, "seed {seed}: the call survived two losses");
        world.link.go_down();
        let lost = Instant::now();
        timeout(Duration::from_secs(2), world.answering.join_next())
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: the call is over within 2 s"));
        for service in [Service::Tts, Service::Stt] {
            assert_eq!(world.gateway.links(service).open_links(), 0, "seed {seed}: {service:?}");
        }
        assert!(lost.elapsed() <= Duration::from_secs(2), "seed {seed}: {:?}", lost.elapsed());
    }
}

/// The samples between the first and the last sound.
fn trimmed(samples: &[i16]) -> &[i16] {
    let Some(first) = samples.iter().position(|sample| !quiet(*sample)) else { return &[] };
    let last = samples.iter().rposition(|sample| !quiet(*sample)).unwrap_or(first);
    &samples[first..=last]
}

fn quiet(sample: i16) -> bool {
    sample.unsigned_abs() <= 33
}

/// SplitMix64.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*random ^ (*random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 3
}

fn schedules() -> u64 {
    if std::env::var_os("VOXLINE_HEAVY").is_some() { 200 } else { 5 }
}

const LINES: [(&str, &str); 2] = [
    (
        "When can I come in?",
        "You can come on Friday at ten, or on Monday at noon. Both are free for an hour. Which of them do you like?",
    ),
    ("Monday at noon.", "Then I have you down for Monday at noon."),
];
/// Samples at 8 kHz.
const SECOND: usize = 8_000;
/// Plivo's own delay before it dials again.
const OUTAGE: usize = SECOND;
/// Enough sound to know its place.
const PROBE: usize = SECOND / 10;
