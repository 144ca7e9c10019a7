//! Z06: with a scheduler that stalls for 100 ms, Plivo's queue neither overflows nor starves, and our
//! estimate of it stays true.

use std::time::Duration;

use voxline_protocol::plivo::{CallerEvent, PlivoCommand, PlivoConfig};

use crate::ear::{caller, heard, millis, speech};
use crate::pair::{Network, Pair, Random, Said};
use crate::rounds;

#[test]
fn stalls_neither_overflow_nor_starve_nor_mislead() {
    let minutes = rounds(60, 600);
    let mut worst = Duration::ZERO;
    for minute in 0..minutes {
        worst = worst.max(a_minute(minute));
    }
    println!("{minutes} minutes of calls; worst estimate off by {worst:?}");
    assert!(worst <= millis(20), "estimate off by {worst:?}");
}

fn a_minute(seed: u64) -> Duration {
    let mut random = Random(seed);
    let base = random.within(5..60);
    let network = Network { to_plivo: base..base + 6, to_us: base..base + 6 };
    let mut pair = Pair::new(PlivoConfig::default(), caller(), network, seed);
    let end = pair.now + Duration::from_secs(60);
    let mut worst = Duration::ZERO;
    let mut fullest = Duration::ZERO;
    let mut utterance = 0;
    while pair.now < end {
        let length = random.within(500..4_000);
        let mut at = 0;
        while at < length {
            let to = length.min(at + 400);
            pair.ask(PlivoCommand::Play(speech(utterance, at, to)));
            pair.ask(PlivoCommand::Checkpoint(format!("{to}").into()));
            at = to;
        }
        let mut left = length + 600;
        while left > 0 {
            let step = random.within(20..150).min(left);
            left -= step;
            pair.run(millis(step));
            fullest = fullest.max(pair.caller.queued());
            if left < length && random.once_in(4) {
                pair.stall(millis(100));
            } else if pair.stream.stats().frames > 50 {
                let (truth, estimate) = (pair.caller.played(), pair.stream.heard(pair.now).played);
                worst = worst.max(truth.abs_diff(estimate));
            }
        }
        utterance += 1;
    }
    pair.run(millis(5_000));
    let jitter = millis(6);
    assert!(fullest <= PlivoConfig::default().lead + jitter, "seed {seed}: Plivo held {fullest:?}");
    for (_, said) in &pair.said {
        if let Said::Caller(CallerEvent::Rejected { code, detail }) = said {
            panic!("seed {seed}: {code} {detail}");
        }
    }
    let mut last: Option<(u16, u16)> = None;
    let mut silent = false;
    for sample in heard(&pair.said) {
        match (last, sample) {
            (Some((from, at)), Some((now_from, now_at))) if from == now_from => {
                assert!(!silent, "seed {seed}: starved at {at} ms of utterance {from}");
                assert!(now_at == at || now_at == at + 1, "seed {seed}: {now_at} ms after {at} ms");
            }
            (_, Some((_, at))) => assert_eq!(at, 0, "seed {seed}: an utterance begins in its middle"),
            (_, None) => {}
        }
        silent = sample.is_none();
        last = sample.or(last);
    }
    worst
}
