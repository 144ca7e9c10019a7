//! Whole conversations in memory on a paused clock, undisturbed and under fire.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use voxline_protocol::Dice;
use voxline_protocol::slng::Service;

use super::outcome::TurnOutcome;
use super::plan::Plan;
use super::stage::play;
use crate::net::InMemory;
use crate::run::paused_runtime;
use crate::simulate::recordings::Recording;
use crate::simulate::slng::{SlngSimulator, SlngSimulatorConfig};

/// Plays one conversation; with `under_fire`, the speech links are cut at random moments all the time.
fn converse(seed: u64, under_fire: bool) -> Vec<TurnOutcome> {
    let recording = Recording::appointment();
    let plan = Plan::new(&recording, seed);
    let gateway = SlngSimulator::new(SlngSimulatorConfig::default().with_recordings(vec![recording]));
    let played = paused_runtime().unwrap().block_on(async {
        let fire = tokio::spawn(cut_at_random(gateway.clone(), seed));
        if !under_fire {
            fire.abort();
        }
        let played = play(InMemory::new(), &plan, gateway, |_| {}).await.unwrap();
        fire.abort();
        played
    });
    TurnOutcome::all(&plan, &played)
}

async fn cut_at_random(gateway: SlngSimulator, seed: u64) {
    let mut dice = Dice::new(seed ^ 0xF19E);
    loop {
        sleep(dice.between(Duration::from_secs(1), Duration::from_secs(15))).await;
        let service = if dice.once_in(2) { Service::Tts } else { Service::Stt };
        gateway.links(service).cut();
    }
}

fn assert_whole(seed: u64, outcomes: &[TurnOutcome]) {
    for outcome in outcomes {
        assert!(outcome.ok, "seed {seed}: {outcome:#?}");
    }
}

#[test]
fn the_demo_hears_what_was_said_for_twenty_seeds() {
    for seed in 1..=20 {
        let outcomes = converse(seed, false);
        assert_whole(seed, &outcomes);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.interrupted).count(), 1, "seed {seed}");
        assert_eq!(outcomes.last().unwrap().link_cuts, 3, "seed {seed}");
    }
}

#[test]
fn the_same_seed_plays_the_same_call() {
    let record = |outcomes: &[TurnOutcome]| serde_json::to_string(outcomes).unwrap();
    assert_eq!(record(&converse(7, false)), record(&converse(7, false)));
}

/// Seeds 0 to 199; `VOXLINE_SOAK=N` plays N of them. A failure names its seed.
#[test]
fn links_killed_at_random_moments_lose_and_double_no_block() {
    let conversations = std::env::var("VOXLINE_SOAK").map_or(200, |count| count.parse().unwrap());
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= conversations {
                        break;
                    }
                    assert_whole(seed, &converse(seed, true));
                }
            });
        }
    });
}
