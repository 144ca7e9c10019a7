//! Z01: the true heard position is always inside the stated interval, and the interval is narrow.

use std::time::Duration;

use voxline_protocol::plivo::{CallerEvent, PlivoCommand, PlivoConfig, PlivoEvent};

use crate::ear::{caller, millis, speech};
use crate::pair::{Network, Pair, Said};
use crate::rounds;

#[test]
fn what_the_caller_heard_is_inside_the_stated_interval() {
    let mut widest = Duration::ZERO;
    let conversations = rounds(20_000, 100_000);
    for seed in 0..conversations {
        widest = widest.max(converse(seed));
    }
    println!("{conversations} conversations; widest interval less its bound's marks: {widest:?}");
}

/// Audio given before the acknowledgement made the mark look as if it had been reached with it: the round trip came out
/// next to nothing, and speech resumed too late after a lost link.
#[test]
fn a_mark_before_all_audio_shows_the_whole_round_trip() {
    let network = Network { to_plivo: 80..81, to_us: 80..81 };
    let mut pair = Pair::new(PlivoConfig::default(), caller(), network, 0);
    pair.ask(PlivoCommand::Checkpoint("first".into()));
    pair.run(millis(100));
    pair.ask(PlivoCommand::Play(speech(0, 0, 500)));
    pair.run(millis(200));
    let trip = pair.stream.round_trip().unwrap();
    assert!(trip >= millis(160), "{trip:?}");
}

/// Tracks what the caller truly heard in each stretch between clears.
struct Truth {
    seen: usize,
    base: Duration,
    done: Vec<Duration>,
    settled: usize,
}

impl Truth {
    fn follow(&mut self, pair: &Pair, seed: u64) {
        for (_, said) in &pair.said[self.seen..] {
            match said {
                Said::Stream(PlivoEvent::ClearSettled { heard, .. }) if heard.at_most > Duration::ZERO => {
                    let truth = self.done[self.settled];
                    self.settled += 1;
                    assert!(
                        heard.at_least <= truth && truth <= heard.at_most,
                        "seed {seed}: {truth:?} outside {heard:?} after a clear"
                    );
                }
                Said::Stream(_) | Said::Caller(_) => {}
            }
        }
        self.seen = pair.said.len();
    }
}

fn converse(seed: u64) -> Duration {
    let mut random = crate::pair::Random(seed);
    let base = random.within(1..120);
    let network =
        Network { to_plivo: base..base + random.within(1..60), to_us: base..base + random.within(1..60) };
    let trip = millis(network.to_plivo.end + network.to_us.end);
    let spacing = random.within(40..600);
    let mut pair = Pair::thin(PlivoConfig::default(), caller(), network, seed);
    let mut truth = Truth { seen: 0, base: Duration::ZERO, done: Vec::new(), settled: 0 };
    let mut widest = Duration::ZERO;
    let mut cleared = 0;
    for utterance in 0..4 {
        let length = random.within(100..1_000);
        let mut at = 0;
        while at < length {
            let end = length.min(at + spacing);
            pair.ask(PlivoCommand::Play(speech(utterance, at, end)));
            pair.ask(PlivoCommand::Checkpoint(format!("{utterance}/{end}").into()));
            at = end;
        }
        let mut left = random.within(0..length + 400);
        while left > 0 {
            let step = random.within(1..90).min(left);
            left -= step;
            let before = pair.said.len();
            pair.run(millis(step));
            for (_, said) in &pair.said[before..] {
                if let Said::Caller(CallerEvent::Cleared { .. }) = said {
                    cleared += 1;
                }
            }
            let (played, heard) = (pair.caller.played(), pair.stream.heard(pair.now));
            assert!(
                heard.at_least <= played && played <= heard.at_most,
                "seed {seed}: {played:?} outside {heard:?}"
            );
            truth.follow(&pair, seed);
            if cleared == pair.clears_sent {
                let (played, heard) = (played - truth.base, pair.stream.heard_since_clear(pair.now));
                assert!(
                    heard.at_least <= played && played <= heard.at_most,
                    "seed {seed}: {played:?} outside {heard:?} since the clear"
                );
                let bound = millis(spacing) + trip + TICK;
                assert!(heard.uncertainty() <= bound, "seed {seed}: {heard:?} wider than {bound:?}");
                widest = widest.max(heard.uncertainty().saturating_sub(millis(spacing)));
            }
        }
        if random.once_in(2) {
            let sent = pair.clears_sent;
            pair.ask(PlivoCommand::Clear);
            if pair.clears_sent > sent {
                // The position at which the clear takes effect is the truth of the stretch it ends.
                while cleared < pair.clears_sent {
                    let before = pair.said.len();
                    pair.run(millis(1));
                    let hits = pair.said[before..]
                        .iter()
                        .filter(|(_, said)| matches!(said, Said::Caller(CallerEvent::Cleared { .. })));
                    cleared += hits.count() as u64;
                }
                truth.done.push(pair.caller.played() - truth.base);
                truth.base = pair.caller.played();
            }
        } else {
            pair.settle();
            truth.follow(&pair, seed);
            let heard = pair.stream.heard_since_clear(pair.now);
            assert!(
                heard.uncertainty() <= millis(20),
                "seed {seed}: {heard:?} after the last acknowledgement"
            );
        }
    }
    widest
}

/// Plivo acknowledges at its 20 ms tick, which is part of the round trip.
const TICK: Duration = Duration::from_millis(20);
