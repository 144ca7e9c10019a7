//! An agent that is interrupted fades out: no click, hardly any more talk, and the next answer is clean (I03, Z08).

use std::time::Duration;

use voxline_audio::{SampleRate, fade};
use voxline_session::{AgentConfig, BargeInPolicy, ConversationConfig, ConversationEvent};

use crate::flags::talk;
use crate::world::{LINES, SECOND, World, next, quiet, schedules};

#[tokio::test(start_paused = true)]
async fn an_interrupted_agent_fades_out_without_a_click() {
    let tail = SampleRate::Hz8000.samples_in(fade::CUT) as usize;
    for seed in 0..schedules() {
        let mut random = seed;
        let after = Duration::from_millis(400 + next(&mut random) % 4_000);
        let whole = interrupt(seed, BargeInPolicy::immediate().with_min_speech(NEVER), after).await;
        let cut = interrupt(seed, BargeInPolicy::immediate(), after).await;
        let faded = interrupt(seed, talk(&["--barge-in", "fade-out"]).barge_in, after).await;

        let joint = cut.parts_from(&whole);
        let end = faded.silent_from(joint);
        assert!(end - joint <= SECOND * 40 / 1_000, "seed {seed}: {} samples of talk more", end - joint);
        // Silence just after the cut looks as if the voice had gone on.
        let goes_on = (joint.saturating_sub(8)..=joint).any(|joint| {
            let mut meant = vec![0; tail];
            fade::cut_i16(&whole.heard[joint..joint + tail], &mut meant);
            // Half a step of µ-law is at most a 32nd of its sample, which is what the wire may add.
            let mut pairs = faded.heard[joint..joint + tail].iter().zip(&meant);
            pairs.all(|(said, meant)| said.abs_diff(*meant) <= 8 + meant.unsigned_abs() / 32)
        });
        assert!(goes_on, "seed {seed}: the very next samples are heard, faded");

        let mut usual: Vec<u32> = bends(&whole.heard[whole.answer..joint + SECOND]).collect();
        usual.sort_unstable();
        let bound = usual[usual.len() * 999 / 1_000].max(sharpest(&whole.heard[joint - 2..joint + tail]));
        let click = sharpest(&faded.heard[joint - 2..joint + tail + 2]);
        assert!(click <= bound + bound / 16, "seed {seed}: a bend of {click} where speech has {bound}");
    }
}

/// What was heard of an answer that the caller spoke over.
struct Interrupted {
    heard: Vec<i16>,
    /// The sample at which the answer begins.
    answer: usize,
}

impl Interrupted {
    /// The sample from which on another course of the same call was heard.
    fn parts_from(&self, other: &Self) -> usize {
        let same = self.heard.iter().zip(&other.heard).take_while(|(one, two)| one == two);
        same.count()
    }

    fn silent_from(&self, at: usize) -> usize {
        let silent =
            self.heard[at..].windows(SECOND / 10).position(|span| span.iter().all(|sample| quiet(*sample)));
        at + silent.expect("it falls silent")
    }
}

/// How sharply a waveform bends at each sample: what an edge does.
fn bends(samples: &[i16]) -> impl Iterator<Item = u32> {
    let wide = |sample: i16| i32::from(sample);
    samples.windows(3).map(move |three| (wide(three[0]) - 2 * wide(three[1]) + wide(three[2])).unsigned_abs())
}

fn sharpest(samples: &[i16]) -> u32 {
    bends(samples).max().unwrap_or(0)
}

/// A question, and another one spoken over its answer `after` that has begun.
async fn interrupt(seed: u64, barge_in: BargeInPolicy, after: Duration) -> Interrupted {
    let conversation = ConversationConfig::default().with_barge_in(barge_in.clone());
    let mut world = World::new(seed, AgentConfig::default().with_conversation(conversation)).await;
    world.caller.listen_for(Duration::from_secs(1)).await.unwrap();
    let question = world.speaker.encode(LINES[0].0);
    world.caller.say(&question).await.unwrap();
    let asked = world.caller.said_to();
    while world.caller.last_sound() <= asked || world.caller.position() < asked {
        world.caller.listen().await.unwrap().expect("the call goes on");
    }
    let answer = world.caller.last_sound() as usize;
    world.caller.listen_for(after).await.unwrap();
    if barge_in.min_speech == NEVER {
        let over = world.speaker.encode(LINES[1].0);
        world.caller.say(&over).await.unwrap();
        world.caller.listen_for(Duration::from_secs(10)).await.unwrap();
    } else {
        world.ask_at_once(LINES[1].0).await;
        let interrupted = |event: &ConversationEvent| matches!(event, ConversationEvent::BargeIn { .. });
        assert!(world.dialogue().iter().any(interrupted), "seed {seed}: the agent was interrupted");
        let clean = world.ask(LINES[2].0, &[]).await;
        let blocks = world.caller.heard().iter().filter(|block| block.start >= clean.from);
        let words: String = blocks.map(|block| block.text.as_str()).collect();
        assert_eq!(words, LINES[2].1, "seed {seed}: the next answer is clean");
    }
    Interrupted { heard: world.caller.hang_up().await.heard, answer }
}

/// Longer than anybody speaks here.
const NEVER: Duration = Duration::from_secs(60);
