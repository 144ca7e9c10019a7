//! A caller who speaks over the agent, under each policy, decoded at the caller's ear: the agent stops, goes on, or does
//! not stop at all; nothing it says is lost or doubled, and it knows what was heard (I01–I03, I07, I09–I12).

use std::time::Duration;

use voxline::simulate::caller::words_of;
use voxline_protocol::slng::Service;
use voxline_session::{
    AgentConfig, BackChannels, BargeInPattern, BargeInPolicy, ConversationConfig, ConversationEvent, Say,
};

use crate::world::{LINES, World, next, quiet};

const PAUSE: BargeInPattern = BargeInPattern::Pause { patience: Duration::from_millis(1_500) };

/// A call in which the first line's answer is being heard, for a while that the seed decides.
pub(crate) struct Answering {
    pub(crate) world: World,
    /// Where in the call the caller's question ended.
    asked: u64,
    seed: u64,
}

impl Answering {
    pub(crate) async fn begin(seed: u64, policy: BargeInPolicy) -> Self {
        let conversation = ConversationConfig::default().with_barge_in(policy);
        let mut world = World::new(seed, AgentConfig::default().with_conversation(conversation)).await;
        world.caller.listen_for(Duration::from_secs(1)).await.unwrap();
        let question = world.speaker.encode(LINES[0].0);
        world.caller.say(&question).await.unwrap();
        let asked = world.caller.said_to();
        while world.caller.last_sound() <= asked {
            world.caller.listen().await.unwrap().expect("the call goes on");
        }
        let mut random = seed;
        let span = Duration::from_millis(300 + next(&mut random) % 1_400);
        world.caller.listen_for(span).await.unwrap();
        Self { world, asked, seed }
    }

    /// Speaks over the agent; tells where in the call that begins.
    pub(crate) async fn say(&mut self, text: &str) -> u64 {
        let sound = self.world.speaker.encode(text);
        self.world.caller.say(&sound).await.unwrap();
        self.world.caller.said_to() - sound.len() as u64
    }

    /// A sound like a voice, too short to be a word.
    pub(crate) async fn cough(&mut self) {
        let sound = self.world.speaker.encode("Mmmmmmmm");
        self.world.caller.say(&sound[..2_400]).await.unwrap();
    }

    /// Listens until everybody has been silent for a while.
    pub(crate) async fn hear_out(&mut self) {
        while self.world.caller.silence() < Duration::from_secs(4) {
            self.world.caller.listen().await.unwrap().expect("the call goes on");
        }
    }

    /// What came out of the caller's earpiece since the question.
    pub(crate) fn decoded(&self) -> String {
        words_of(self.world.caller.heard().iter().filter(|block| block.start >= self.asked))
    }

    pub(crate) fn happened(&self, wanted: fn(&ConversationEvent) -> bool) -> bool {
        self.world.dialogue().iter().any(wanted)
    }

    /// What the agent believes was heard in its turns, and whether they were cut short.
    fn turns(&self) -> Vec<(String, bool)> {
        let ended = |event| {
            let ConversationEvent::TurnEnded { heard, interrupted, .. } = event else { return None };
            Some((heard, interrupted))
        };
        self.world.dialogue().into_iter().filter_map(ended).collect()
    }

    /// The first answer was cut where the agent says, and the second line answered.
    pub(crate) fn check_cut(&self) {
        let seed = self.seed;
        let decoded = self.decoded();
        let first =
            decoded.strip_suffix(LINES[1].1).unwrap_or_else(|| panic!("seed {seed}: {decoded}")).trim_end();
        let turns = self.turns();
        let [(heard, true), (second, false)] = turns.as_slice() else { panic!("seed {seed}: {turns:?}") };
        assert_eq!(second, LINES[1].1, "seed {seed}");
        assert!(
            LINES[0].1.starts_with(heard) && LINES[0].1.starts_with(first),
            "seed {seed}: {heard} / {first}"
        );
        // A block of eight characters is decoded as a whole, a word counts as a whole.
        let off = heard.len().abs_diff(first.len());
        assert!(off <= 16, "seed {seed}: the agent says `{heard}`, the ear `{first}`");
    }
}

pub(crate) fn paused(event: &ConversationEvent) -> bool {
    matches!(event, ConversationEvent::Paused { .. })
}

pub(crate) fn resumed(event: &ConversationEvent) -> bool {
    matches!(event, ConversationEvent::Resumed { .. })
}

pub(crate) fn barged_in(event: &ConversationEvent) -> bool {
    matches!(event, ConversationEvent::BargeIn { .. })
}

#[tokio::test(start_paused = true)]
async fn a_false_interruption_pauses_the_agent_and_no_word_is_lost_or_doubled() {
    for seed in 0..SEEDS {
        let mut call = Answering::begin(seed, BargeInPolicy::immediate().with_pattern(PAUSE)).await;
        call.cough().await;
        call.hear_out().await;
        assert!(call.happened(paused) && call.happened(resumed) && !call.happened(barged_in), "seed {seed}");
        assert_eq!(call.decoded(), LINES[0].1, "seed {seed}");
        assert_eq!(call.turns(), [(LINES[0].1.to_owned(), false)], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn words_after_a_pause_are_a_barge_in_heard_up_to_the_pause() {
    for seed in 0..SEEDS {
        let mut call = Answering::begin(seed, BargeInPolicy::immediate().with_pattern(PAUSE)).await;
        call.say(LINES[1].0).await;
        call.hear_out().await;
        assert!(call.happened(paused) && !call.happened(resumed) && call.happened(barged_in), "seed {seed}");
        call.check_cut();
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_cut_where_the_agent_says_and_answered() {
    for seed in 0..SEEDS {
        for pattern in [BargeInPattern::Immediate, BargeInPattern::FadeOut] {
            let mut call = Answering::begin(seed, BargeInPolicy::immediate().with_pattern(pattern)).await;
            call.say(LINES[1].0).await;
            call.hear_out().await;
            call.check_cut();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn back_channel_words_do_not_stop_the_agent() {
    for seed in 0..SEEDS {
        for pattern in [BargeInPattern::Immediate, PAUSE] {
            let policy = BargeInPolicy::immediate().with_pattern(pattern);
            let mut call = Answering::begin(seed, policy.with_back_channels(BackChannels::english())).await;
            call.say("Yeah.").await;
            call.hear_out().await;
            assert_eq!(call.decoded(), LINES[0].1, "seed {seed}, {pattern:?}");
            assert_eq!(call.turns(), [(LINES[0].1.to_owned(), false)], "seed {seed}, {pattern:?}");
            assert_eq!(call.happened(resumed), pattern == PAUSE, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_over_a_protected_sentence_is_answered_after_it() {
    for seed in 0..SEEDS {
        let policy = BargeInPolicy::immediate().with_protected(["Friday at ten"]);
        let mut call = Answering::begin(seed, policy).await;
        call.say(LINES[1].0).await;
        call.hear_out().await;
        let decoded = call.decoded();
        let protected = "You can come on Friday at ten, or on Monday at noon.";
        assert!(decoded.starts_with(protected), "seed {seed}: {decoded}");
        assert!(decoded.ends_with(LINES[1].1), "seed {seed}: {decoded}");
        let turns = call.turns();
        assert!(turns[0].0.starts_with(protected) && turns[0].1, "seed {seed}: {turns:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_little_speech_and_too_few_words_are_answered_after_the_answer() {
    let policy = BargeInPolicy::immediate();
    for policy in [policy.clone().with_min_words(3), policy.with_min_speech(Duration::from_secs(3))] {
        let mut call = Answering::begin(7, policy).await;
        call.say(LINES[1].0).await;
        call.hear_out().await;
        assert_eq!(call.decoded(), format!("{} {}", LINES[0].1, LINES[1].1));
        assert!(call.turns().iter().all(|(_, interrupted)| !interrupted));
    }
}

#[tokio::test(start_paused = true)]
async fn told_to_say_something_else_the_agent_does_at_once_over_the_same_session() {
    for seed in 0..SEEDS {
        let mut call = Answering::begin(seed, BargeInPolicy::immediate()).await;
        let handle = call.world.handles.lock().unwrap()[0].clone();
        let told = call.world.caller.position();
        handle.say(Say::new("Please leave the building.")).await.unwrap();
        call.hear_out().await;
        let decoded = call.decoded();
        let first = decoded
            .strip_suffix("Please leave the building.")
            .unwrap_or_else(|| panic!("seed {seed}: {decoded}"));
        let turns = call.turns();
        let [(heard, true), (_, false)] = turns.as_slice() else { panic!("seed {seed}: {turns:?}") };
        assert!(heard.len().abs_diff(first.trim_end().len()) <= 16, "seed {seed}: `{heard}` / `{first}`");
        let fresh = call
            .world
            .caller
            .heard()
            .iter()
            .find(|block| block.start > told && block.text.starts_with("Please"));
        let wait = fresh.map(|block| (block.start - told) / 8).unwrap();
        assert!(wait <= 500, "seed {seed}: {wait} ms until the new words");
        let lines = call.world.gateway.links(Service::Tts).open_links();
        assert_eq!(lines, 1, "seed {seed}: one session, still open");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_to_silence_the_agent_tells_is_the_one_the_caller_felt() {
    let mut longest = Duration::ZERO;
    for seed in 0..SEEDS {
        for pattern in [BargeInPattern::Immediate, BargeInPattern::FadeOut, PAUSE] {
            let mut call = Answering::begin(seed, BargeInPolicy::immediate().with_pattern(pattern)).await;
            let began = call.say(LINES[1].0).await as usize;
            call.hear_out().await;
            let told = call.world.dialogue().into_iter().find_map(|event| {
                let ConversationEvent::FellSilent { latency, .. } = event else { return None };
                Some(latency)
            });
            let told = told.unwrap_or_else(|| panic!("seed {seed}: nothing told")).total();
            let format = call.world.caller.format();
            let heard = call.world.caller.hang_up().await.heard;
            let silent =
                heard[began..].windows(800).position(|span| span.iter().all(|sample| quiet(*sample)));
            let felt = format.rate.duration_of(silent.unwrap() as u64);
            assert!(
                told.abs_diff(felt) <= Duration::from_millis(60),
                "seed {seed}: told {told:?}, felt {felt:?}"
            );
            longest = longest.max(felt);
        }
    }
    assert!(longest <= Duration::from_millis(300), "{longest:?} until silence");
}

const SEEDS: u64 = 10;
