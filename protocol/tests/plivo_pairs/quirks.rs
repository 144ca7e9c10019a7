//! Z07: every quirk in every scenario: no wait goes beyond its limit, and the call ends.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use voxline_protocol::Machine;
use voxline_protocol::plivo::{CallerCommand, Digit, PlivoCommand, PlivoConfig, PlivoEvent, PlivoQuirk};

use crate::ear::{caller, millis, speech};
use crate::pair::{Network, Pair, Said};
use crate::rounds;

#[derive(Debug, Clone, Copy)]
enum Scenario {
    Answer,
    BargeIn,
    Keys,
    LostLink,
    SilentLink,
}

const SCENARIOS: [Scenario; 5] =
    [Scenario::Answer, Scenario::BargeIn, Scenario::Keys, Scenario::LostLink, Scenario::SilentLink];

#[test]
fn no_quirk_makes_anyone_wait_beyond_the_limit() {
    let mut played = 0;
    for quirk in PlivoQuirk::ALL {
        for scenario in SCENARIOS {
            for seed in 0..rounds(4, 200) {
                play(*quirk, scenario, seed);
                played += 1;
            }
        }
    }
    println!("{played} calls with quirks");
}

fn play(quirk: PlivoQuirk, scenario: Scenario, seed: u64) {
    let name = format!("{quirk} in {scenario:?}, seed {seed}");
    let network = Network { to_plivo: 20..40, to_us: 20..40 };
    let config = caller().with_quirk(quirk).with_seed(seed);
    let mut pair = Pair::new(PlivoConfig::default(), config, network, seed);
    let mut asked: HashMap<String, Instant> = HashMap::new();
    let mut clears = 0;
    for turn in 0..3 {
        if pair.is_over() {
            break;
        }
        for part in 0..3 {
            let mark = format!("{turn}/{part}");
            let from = part * 400;
            let play = PlivoCommand::Play(speech(turn, from, from + 400));
            let set = PlivoCommand::Checkpoint(mark.as_str().into());
            if pair.stream.handle_command(pair.now, play).is_err() {
                continue;
            }
            asked.insert(mark, pair.now);
            pair.ask(set);
        }
        pair.run(pair_time(seed, turn));
        if pair.is_over() {
            break;
        }
        match scenario {
            Scenario::Answer => {}
            Scenario::BargeIn => {
                clears += 1;
                pair.ask(PlivoCommand::Clear);
            }
            Scenario::Keys => {
                // A link that is down cannot take keys, and says so.
                let digits = Digit::parse_all("1#").unwrap();
                let _ = pair.stream.handle_command(pair.now, PlivoCommand::SendDtmf(digits));
                let _ = pair.caller.handle_command(pair.now, CallerCommand::Press(Digit::new('5').unwrap()));
            }
            Scenario::LostLink => pair.break_link(),
            Scenario::SilentLink => pair.swallow(),
        }
        pair.run(millis(4_000));
    }
    pair.run(LIMIT);
    if !pair.is_over() {
        let _ = pair.caller.handle_command(pair.now, CallerCommand::HangUp);
    }
    pair.run(LIMIT);
    assert!(pair.is_over(), "{name}: the call never ends");
    check(&pair, &name, &asked, clears);
}

/// Every mark is resolved once, every clear is settled, each within its limit.
fn check(pair: &Pair, name: &str, asked: &HashMap<String, Instant>, clears: usize) {
    let mut resolved = HashMap::new();
    let mut settled = 0;
    for (at, said) in &pair.said {
        match said {
            Said::Stream(PlivoEvent::Played(mark) | PlivoEvent::Skipped { name: mark, .. }) => {
                let before = resolved.insert(mark.as_str(), *at);
                assert!(before.is_none(), "{name}: {mark} resolved twice");
            }
            Said::Stream(PlivoEvent::ClearSettled { .. }) => settled += 1,
            Said::Stream(_) | Said::Caller(_) => {}
        }
    }
    for (mark, at) in asked {
        let then = resolved.get(mark.as_str()).unwrap_or_else(|| panic!("{name}: {mark} is never resolved"));
        assert!(*then - *at <= LIMIT, "{name}: {mark} took {:?}", *then - *at);
    }
    assert!(settled >= clears, "{name}: {settled} of {clears} clears settled");
}

fn pair_time(seed: u64, turn: u16) -> Duration {
    millis(100 + (seed * 257 + u64::from(turn) * 331) % 900)
}

/// Two losses found after 1.5 s and redialled with what they repeat, 10 s for a third redial that does
/// not come, 3 s of patience for a mark.
const LIMIT: Duration = Duration::from_secs(25);
