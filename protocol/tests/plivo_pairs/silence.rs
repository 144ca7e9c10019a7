//! A link that is silent is found dead within its limit; one that merely loses and delays is not.

use std::time::Duration;

use voxline_protocol::plivo::{LossCause, PlivoConfig, PlivoEvent, PlivoQuirk};

use crate::ear::{caller, millis};
use crate::pair::{Network, Pair, Random, Said};
use crate::rounds;

fn losses(pair: &Pair) -> impl Iterator<Item = (std::time::Instant, LossCause)> {
    pair.said.iter().filter_map(|(at, said)| match said {
        Said::Stream(PlivoEvent::LinkLost { cause, .. }) => Some((*at, *cause)),
        Said::Stream(_) | Said::Caller(_) => None,
    })
}

#[test]
fn a_black_hole_is_found_within_its_limit() {
    for seed in 0..rounds(5_000, 100_000) {
        let mut random = Random(seed);
        let network = Network { to_plivo: 10..60, to_us: 10..60 };
        let mut pair = Pair::new(PlivoConfig::default(), caller(), network, seed);
        pair.run(random.millis(0..3_000));
        pair.swallow();
        let from = pair.now;
        pair.run(millis(2_000));
        let (at, cause) = losses(&pair).next().unwrap_or_else(|| panic!("seed {seed}: never found"));
        assert_eq!(cause, LossCause::Silent);
        assert!(at - from <= PlivoConfig::default().media_timeout, "seed {seed}: {:?}", at - from);
    }
}

#[test]
fn loss_and_jitter_raise_no_false_alarm() {
    let hours = rounds(4, 100);
    for seed in 0..hours {
        let network = Network { to_plivo: 20..320, to_us: 20..320 };
        let config =
            caller().with_quirk(PlivoQuirk::LostMedia).with_quirk(PlivoQuirk::LateMedia).with_seed(seed);
        let mut pair = Pair::new(PlivoConfig::default(), config, network, seed);
        // Piece by piece, as an hour of the caller's ear is a lot to remember.
        for _ in 0..60 {
            pair.run(Duration::from_secs(60));
            assert_eq!(losses(&pair).count(), 0, "seed {seed}");
            pair.said.clear();
        }
        let missing = pair.stream.stats().gaps as f64 / pair.stream.stats().media as f64;
        assert!((0.02..0.04).contains(&missing), "seed {seed}: {missing} of all media were missing");
    }
    println!("{hours} hours of a bad network without a false alarm");
}
