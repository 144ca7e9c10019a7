//! A call whose agent speaks through an avatar, or through phone and avatar: what is said in the room is decoded, and
//! compared with what was meant and with what the agent believes was heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use voxline::agent::{Models, PhoneAgent, Speech};
use voxline::net::{InMemory, Net};
use voxline::responder::ScriptedResponder;
use voxline::simulate::agenthuman::{AvatarEar, AvatarSimulator, AvatarSimulatorConfig};
use voxline::simulate::caller::{Caller, HeardBlock, words_of};
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline::simulate::voice::{Decoder, Encoder, Tracker, VoiceFault};
use voxline_protocol::agenthuman::{AvatarApi, AvatarEvent};
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_protocol::{BaseUrl, Secret};
use voxline_session::{
    AgentEvent, Avatar, AvatarConfig, AvatarNotice, ConversationEvent, Output, RetryPolicy,
};
use voxline_transport::Endpoint;

use crate::revision_a;

const HELLO: &str = "Hello, this is Ada. Who are you?";
const LONG: &str = "I am the assistant of this house, and I am glad that you call. \
                    There is much that I can tell you about our opening times and about the garden.";
const SORRY: &str = "Sorry, where can I park?";
const SHORT: &str = "There is a car park behind the house.";

/// A call, and everything on both ends of it.
struct Stage {
    net: InMemory,
    service: AvatarSimulator,
    ear: Arc<Mutex<AvatarEar>>,
    log: Arc<Mutex<Vec<AgentEvent>>>,
    caller: Caller<<InMemory as Net>::Connector>,
    speaker: Encoder,
    world: JoinSet<()>,
}

impl Stage {
    async fn open(output: fn(Avatar) -> Output, config: AvatarConfig) -> Self {
        let net = InMemory::new();
        let mut world = JoinSet::new();
        let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
        let (acceptor, slng) = net.listen("slng").await.unwrap();
        world.spawn(async move { gateway.serve(acceptor).await });

        let (acceptor, url) = net.listen("avatars").await.unwrap();
        let ear = Arc::new(Mutex::new(AvatarEar::default()));
        let listening = Arc::clone(&ear);
        let service =
            AvatarSimulator::with_observer(&url, AvatarSimulatorConfig::default(), move |_, event| {
                listening.lock().unwrap().handle(Instant::now().into_std(), event);
            });
        let serving = service.clone();
        world.spawn(async move { serving.serve(acceptor).await });
        let api = AvatarApi::new(Secret::new(AvatarSimulatorConfig::KEY).unwrap());
        let api = api.with_base(BaseUrl::parse(&url).unwrap());
        let dialling = net.clone();
        let connect = move |endpoint| dialling.connector(endpoint);
        let avatar = Avatar::open(net.requester(), connect, api, config).await.unwrap();

        let speech = Speech::new(&slng, &Secret::new("simulated").unwrap(), &Models::default()).unwrap();
        let lines = vec![(HELLO.to_owned(), LONG.to_owned()), (SORRY.to_owned(), SHORT.to_owned())];
        let log: Arc<Mutex<Vec<AgentEvent>>> = Arc::default();
        let writer = Arc::clone(&log);
        let output = Mutex::new(Some(output(avatar)));
        let agent = PhoneAgent::new(net.clone(), speech, ScriptedResponder::new(lines))
            .with_outputs(move |_| output.lock().unwrap().take().unwrap_or_default())
            .with_observer(move |_, _, event| writer.lock().unwrap().push(event.clone()));
        let (acceptor, url) = net.listen("agent").await.unwrap();
        world.spawn(async move { agent.serve(acceptor, Some(1)).await });
        let stream = net.connector(Endpoint::parse(&format!("{url}/stream")).unwrap());
        let caller = Caller::dial(stream, PlivoCallerConfig::new("call", "stream")).await.unwrap();
        let speaker = Encoder::new(caller.format().rate);
        let mut stage = Self { net, service, ear, log, caller, speaker, world };
        assert!(stage.caller.listen_for(Duration::from_secs(1)).await.unwrap());
        stage
    }

    /// Says a line to its end.
    async fn ask(&mut self, line: &str) {
        let sound = self.speaker.encode(line);
        self.caller.say(&sound).await.unwrap();
        let said_to = self.caller.said_to();
        while self.caller.position() < said_to {
            self.caller.listen().await.unwrap().unwrap();
        }
    }

    /// Listens until turn `number` is over, by the agent's account of it.
    async fn answered(&mut self, number: u32) -> Told {
        for _ in 0..60 * 50 {
            if let Some(told) = self.told(number) {
                return told;
            }
            self.caller.listen().await.unwrap().unwrap();
        }
        panic!("turn {number} never ended: {:#?}", self.log.lock().unwrap());
    }

    fn told(&self, number: u32) -> Option<Told> {
        let log = self.log.lock().unwrap();
        log.iter().find_map(|event| {
            if let AgentEvent::Conversation(ConversationEvent::TurnEnded { turn, heard, interrupted }) = event
                && turn.get() == number
            {
                return Some(Told { heard: heard.clone(), interrupted: *interrupted });
            }
            None
        })
    }

    /// What was said in the room so far, by the run of the call.
    fn room(&self) -> Vec<HeardBlock> {
        self.ear.lock().unwrap().blocks(self.caller.began())
    }

    /// All that was said in the room, a repeated block once, and what is wrong with it.
    fn room_text(&self) -> (String, Vec<VoiceFault>) {
        let mut decoder = Decoder::new(AvatarEar::RATE);
        decoder.push(&self.ear.lock().unwrap().track(self.caller.began()));
        decoder.finish();
        let mut tracker = Tracker::from_start();
        while let Some(event) = decoder.poll() {
            tracker.handle_event(&event);
        }
        let texts: Vec<_> =
            tracker.utterances().iter().map(|utterance| utterance.text().trim_end()).collect();
        (texts.join(" "), tracker.faults().to_vec())
    }

    /// How much of the call has gone by, at the room's rate.
    fn position(&self) -> u64 {
        AvatarEar::RATE.samples_in(self.caller.format().rate.duration_of(self.caller.position()))
    }

    /// Ends the call; the session must end with it.
    async fn end(mut self) -> String {
        let recording = self.caller.hang_up().await;
        sleep(Duration::from_secs(10)).await;
        assert!(self.service.running().is_empty(), "no paid session outlives its call");
        self.world.abort_all();
        drop(self.net);
        words_of(&recording.blocks)
    }
}

/// What the agent believes of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    heard: String,
    interrupted: bool,
}

/// How often somebody looks at what was said.
const GLANCE: Duration = Duration::from_millis(100);

fn alone(avatar: Avatar) -> Output {
    Output::Avatar(avatar)
}

fn both(avatar: Avatar) -> Output {
    Output::Both(avatar)
}

#[tokio::test(start_paused = true)]
async fn what_the_agent_says_is_said_in_the_room_and_on_the_phone_if_it_shall_be() {
    for (name, output, on_phone) in [("avatar", alone as fn(Avatar) -> Output, ""), ("both", both, LONG)] {
        let mut stage = Stage::open(output, revision_a()).await;
        stage.ask(HELLO).await;
        let told = stage.answered(1).await;
        assert_eq!(told, Told { heard: LONG.to_owned(), interrupted: false }, "{name}");
        assert_eq!(words_of(&stage.room()), LONG, "{name}");
        let queueing: Vec<_> = stage.log.lock().unwrap().iter().filter_map(queueing).collect();
        assert!(
            queueing.len() > 3 && queueing.iter().all(|wait| *wait == Duration::from_millis(40)),
            "{queueing:?}"
        );
        assert_eq!(stage.end().await, on_phone, "{name}");
    }
}

/// The time from a piece of speech to its confirmation, where an event tells one.
fn queueing(event: &AgentEvent) -> Option<Duration> {
    let AgentEvent::Avatar(notice) = event else { return None };
    if let AvatarNotice::Protocol(AvatarEvent::Chunk(receipt)) = &**notice {
        Some(receipt.queueing)
    } else {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_barge_in_silences_every_mouth_and_cuts_the_history_to_what_was_said() {
    for (name, output) in [("avatar", alone as fn(Avatar) -> Output), ("both", both)] {
        for after in [1, 4, 9, 15] {
            let mut stage = Stage::open(output, revision_a()).await;
            stage.ask(HELLO).await;
            while stage.room().iter().filter(|block| block.end <= stage.position()).count() < after {
                assert!(stage.caller.listen_for(GLANCE).await.unwrap());
            }
            stage.ask(SORRY).await;
            let told = stage.answered(1).await;
            let next = stage.answered(2).await;
            let room = words_of(&stage.room());
            let said =
                room.strip_suffix(SHORT).unwrap_or_else(|| panic!("{name} after {after}: {room}")).trim_end();
            assert!(
                told.interrupted && LONG.starts_with(said),
                "{name} after {after}: {told:?}, said `{said}`"
            );
            // A word begun at either end, and what the two estimates leave open.
            assert!(LONG.starts_with(&told.heard), "{name} after {after}: {told:?}");
            let apart = told.heard.len().abs_diff(said.len());
            assert!(apart <= 16, "{name} after {after}: heard `{}`, said `{said}`", told.heard);
            assert_eq!(next, Told { heard: SHORT.to_owned(), interrupted: false }, "{name} after {after}");
            stage.end().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_loses_no_word() {
    let mut whole = 0;
    for tenths in 0..20 {
        let mut stage = Stage::open(alone, revision_a()).await;
        let links = stage.service.links().clone();
        stage.ask(HELLO).await;
        while stage.room().is_empty() {
            assert!(stage.caller.listen_for(GLANCE).await.unwrap());
        }
        stage.caller.listen_for(Duration::from_millis(tenths * 100)).await.unwrap();
        links.cut();
        let told = stage.answered(1).await;
        assert_eq!(told, Told { heard: LONG.to_owned(), interrupted: false }, "cut after {tenths}00 ms");
        // What was taken and not confirmed when the link was cut is said again: the service tells nobody what it has.
        let (text, faults) = stage.room_text();
        let is_repeat =
            |fault: &VoiceFault| matches!(fault, VoiceFault::Doubled { .. } | VoiceFault::Damaged { .. });
        assert!(faults.iter().all(is_repeat), "cut after {tenths}00 ms: {faults:?}");
        assert_eq!(text.trim_end(), LONG, "cut after {tenths}00 ms");
        whole += usize::from(faults.is_empty());
        stage.end().await;
    }
    assert!(whole > 10, "what was confirmed is not said again: {whole} of 20");
}

#[tokio::test(start_paused = true)]
async fn an_avatar_that_is_lost_leaves_the_call_to_the_phone() {
    let no_retry = RetryPolicy::default().with_max_attempts(0);
    let mut stage = Stage::open(alone, revision_a().with_retry(no_retry)).await;
    stage.ask(HELLO).await;
    while stage.room().iter().filter(|block| block.end <= stage.position()).count() < 5 {
        assert!(stage.caller.listen_for(GLANCE).await.unwrap());
    }
    stage.service.links().cut();
    let told = stage.answered(1).await;
    assert!(told.heard.starts_with("I am the") && told.heard.len() < LONG.len(), "{told:?}");
    stage.ask(SORRY).await;
    let next = stage.answered(2).await;
    assert_eq!(next, Told { heard: SHORT.to_owned(), interrupted: false });
    assert!(stage.end().await.ends_with(SHORT), "said on the phone");
}
