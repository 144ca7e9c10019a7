//! Z05: after a clear no old sample reaches the caller, and no new one is withheld, whatever the link does.

use std::time::{Duration, Instant};

use voxline_protocol::plivo::{CallerEvent, PlivoCommand, PlivoConfig};

use crate::ear::{caller, heard, mark, millis, read, speech};
use crate::pair::{Network, Pair, Random, Said};
use crate::rounds;

#[test]
fn nothing_stale_is_heard_and_nothing_fresh_is_withheld() {
    let schedules = rounds(100_000, 10_000_000);
    for seed in 0..schedules {
        schedule(seed);
    }
    println!("{schedules} schedules");
}

fn schedule(seed: u64) {
    let mut random = Random(seed ^ 0x5eed);
    let base = random.within(1..80);
    let network =
        Network { to_plivo: base..base + random.within(1..40), to_us: base..base + random.within(1..40) };
    let mut travel = millis(network.to_plivo.end);
    let frame = millis(20 * random.within(1..11));
    let mut pair = Pair::thin(PlivoConfig::default().with_frame(frame), caller(), network, seed);
    let mut utterance = 0;
    let mut length = 0;
    let mut breaks = 0;
    let mut clears = Vec::new();
    for _ in 0..random.within(3..14) {
        match random.within(0..6) {
            0 | 1 => {
                let end = length + random.within(1..900);
                if end < 3_000 {
                    pair.ask(PlivoCommand::Play(speech(utterance, length, end)));
                    length = end;
                }
            }
            2 => pair.ask(PlivoCommand::Checkpoint(format!("{utterance}/{length}").into())),
            3 => {
                pair.ask(PlivoCommand::Clear);
                clears.push(pair.now);
                utterance += 1;
                length = 0;
            }
            4 if breaks < 2 && random.once_in(2) => {
                breaks += 1;
                if random.once_in(3) {
                    // Plivo cannot be told any more, and plays what it holds.
                    travel += PlivoConfig::default().lead;
                    pair.swallow();
                } else {
                    pair.break_link();
                }
            }
            _ => {}
        }
        let longest = if random.once_in(4) { 700 } else { 200 };
        pair.run(random.millis(0..longest));
    }
    pair.settle();
    assert_no_stale(&pair, &clears, travel, seed);
    let mut seen = vec![false; length as usize];
    for (_, at) in heard(&pair.said).flatten().filter(|(from, _)| *from == mark(utterance)) {
        seen[usize::from(at)] = true;
    }
    let missing: Vec<_> = (0..length).filter(|at| !seen[*at as usize]).collect();
    assert!(missing.is_empty(), "seed {seed}: {} ms withheld: {missing:?}", missing.len());
}

/// After a clear, its utterance sounds no longer than the clear travels, and never after a newer one.
fn assert_no_stale(pair: &Pair, clears: &[Instant], travel: Duration, seed: u64) {
    let mut newest = 0;
    for (now, said) in &pair.said {
        let Said::Caller(CallerEvent::Ear(frame)) = said else { continue };
        if frame.played == 0 {
            continue;
        }
        let began = *now - frame.audio.len() as u32 / 16 * millis(1);
        for (from, at) in frame.audio.chunks_exact(2).filter_map(|sample| read([sample[0], sample[1]])) {
            assert!(from >= newest, "seed {seed}: utterance {from} at {at} ms after {newest}");
            newest = from;
            let cut = clears.get(usize::from(from) - 1).filter(|cut| began > **cut + travel);
            assert!(cut.is_none(), "seed {seed}: utterance {from} at {at} ms outlives its clear");
        }
    }
}
