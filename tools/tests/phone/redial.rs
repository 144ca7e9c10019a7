//! A call whose phone link breaks: the dialogue goes on, every sample is heard, and the third loss ends it all.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use voxline_protocol::slng::Service;
use voxline_session::{AgentConfig, ConversationEvent};

use crate::world::{LINES, SECOND, World, next, quiet, schedules, trimmed};

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
    let mut world = World::new(seed, AgentConfig::default()).await;
    let answer = world.ask(LINES[0].0, cuts).await;
    assert_eq!(answer.cuts.len(), cuts.len(), "seed {seed}");
    world.ask(LINES[2].0, &[]).await;
    let dialogue = world.dialogue();
    let recording = world.caller.hang_up().await;
    timeout(Duration::from_secs(5), world.answering.join_next()).await.expect("the agent ends with its call");
    assert_eq!(world.hung_up.lock().unwrap().len(), 0, "seed {seed}: the caller hung up");
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
        let mut world = World::new(seed, AgentConfig::default()).await;
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
        // The last one is known at once, or by its silence alone.
        if seed % 2 == 0 {
            world.link.go_down();
        } else {
            world.link.black_hole();
        }
        let lost = Instant::now();
        timeout(Duration::from_secs(2), world.answering.join_next())
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: the call is over within 2 s"));
        for service in [Service::Tts, Service::Stt] {
            assert_eq!(world.gateway.links(service).open_links(), 0, "seed {seed}: {service:?}");
        }
        assert_eq!(*world.hung_up.lock().unwrap(), ["call".into()], "seed {seed}: hung up, once");
        assert!(lost.elapsed() <= Duration::from_secs(2), "seed {seed}: {:?}", lost.elapsed());
    }
}

/// Plivo's own delay before it dials again.
const OUTAGE: usize = SECOND;
/// Enough sound to know its place.
const PROBE: usize = SECOND / 10;
