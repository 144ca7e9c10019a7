//! Z08, this layer's part: what a clear hands back goes on exactly where the caller's ear is cut, so
//! that a tail faded from it continues the sound.

use bytes::Bytes;
use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent};

use crate::ear::{caller, heard, mark, millis, speech};
use crate::pair::{Network, Pair, Random, Said};
use crate::rounds;

#[test]
fn a_tail_continues_where_the_ear_was_cut() {
    let cuts = rounds(150, 10_000);
    for seed in 0..cuts {
        cut(seed);
    }
    println!("{cuts} cuts with a tail of 40 ms");
}

fn cut(seed: u64) {
    let mut random = Random(seed);
    let there = random.within(1..150);
    let back = random.within(1..150);
    // A steady network: its jitter would be a jump in the sound that no arithmetic here can know.
    let network = Network { to_plivo: there..there + 1, to_us: back..back + 1 };
    let mut pair = Pair::new(PlivoConfig::default(), caller(), network, seed);
    pair.ask(PlivoCommand::Play(speech(0, 0, 3_000)));
    pair.run(random.millis(200..2_000));
    let before = pair.said.len();
    pair.ask(PlivoCommand::Clear);
    let unheard = pair.said[before..].iter().find_map(|(_, said)| match said {
        Said::Stream(PlivoEvent::Cleared { unheard, .. }) => Some(unheard.clone()),
        Said::Stream(_) | Said::Caller(_) => None,
    });
    let tail: Bytes = unheard.unwrap().slice(..640);
    pair.ask(PlivoCommand::Play(tail));
    pair.run(millis(1_000));

    let own = heard(&pair.said).flatten().filter(|(from, _)| *from == mark(0));
    let positions: Vec<u16> = own.map(|(_, at)| at).collect();
    for pair in positions.windows(2) {
        let jump = pair[1].abs_diff(pair[0]);
        assert!(jump <= 2, "seed {seed}: the ear jumps from {} to {} ms", pair[0], pair[1]);
    }
}
