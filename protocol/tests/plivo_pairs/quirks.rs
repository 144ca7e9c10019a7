//! Z07: every quirk in every scenario: no wait goes beyond its limit, the call ends, and what the quirk does is told
//! as the event it is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use voxline_protocol::plivo::{
    CallerCommand, CallerEvent, ClearedBy, Digit, PlivoCommand, PlivoConfig, PlivoEvent, PlivoQuirk,
    SkipReason,
};
use voxline_protocol::{CloseFrame, Code, LinkLife, Machine};

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
            let mut told = Told::default();
            for seed in 0..rounds(12, 400) {
                play(*quirk, scenario, seed, &mut told);
                played += 1;
            }
            told.check(*quirk, scenario);
        }
    }
    println!("{played} calls with quirks");
}

#[test]
fn a_link_that_plivo_breaks_is_lost_once_and_dialled_once() {
    for seed in 0..40 {
        let config = caller().with_quirk(PlivoQuirk::Redials).with_seed(seed);
        let network = Network { to_plivo: 20..40, to_us: 20..40 };
        let mut pair = Pair::new(PlivoConfig::default(), config, network, seed);
        pair.run(Duration::from_secs(60));
        let course = pair.said.iter().filter_map(|(_, said)| match said {
            Said::Caller(CallerEvent::LinkLost(_)) => Some("lost"),
            Said::Caller(CallerEvent::Redial { .. }) => Some("dials"),
            Said::Caller(CallerEvent::Started) => Some("starts"),
            Said::Caller(_) | Said::Stream(_) => None,
        });
        let course: Vec<_> = course.collect();
        assert_eq!(course, ["starts", "lost", "dials", "starts", "lost", "dials", "starts"], "seed {seed}");
    }
}

fn play(quirk: PlivoQuirk, scenario: Scenario, seed: u64, told: &mut Told) {
    let name = format!("{quirk} in {scenario:?}, seed {seed}");
    let network = Network { to_plivo: 20..40, to_us: 20..40 };
    let config = caller().with_quirk(quirk).with_seed(seed).with_header("tenant", "acme");
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
    told.listen(&pair);
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

/// What our side told in all calls of one quirk and scenario.
#[derive(Debug, Default)]
struct Told {
    played: u64,
    unacknowledged: u64,
    unanswered_clears: u64,
    cleared_by_peer: u64,
    play_failed: u64,
    garbled: u64,
    gaps: u64,
    lost_links: u64,
    resumed: u64,
    headers: u64,
    keys: u64,
    media: u64,
    closed: u64,
    stale: u64,
    unhandled: Vec<String>,
    statuses: u64,
    calls: u64,
}

impl Told {
    fn listen(&mut self, pair: &Pair) {
        self.calls += 1;
        self.stale += pair.stream.stats().stale;
        for (_, said) in &pair.said {
            match said {
                Said::Stream(event) => self.take(event),
                Said::Caller(event) => self.statuses += u64::from(matches!(event, CallerEvent::Status(_))),
            }
        }
    }

    fn take(&mut self, event: &PlivoEvent) {
        match event {
            PlivoEvent::Played(_) => self.played += 1,
            PlivoEvent::Skipped { why: SkipReason::TimedOut, .. } => self.unacknowledged += 1,
            PlivoEvent::ClearSettled { acknowledged: false, .. } => self.unanswered_clears += 1,
            PlivoEvent::Cleared { by: ClearedBy::Peer, .. } => self.cleared_by_peer += 1,
            PlivoEvent::PlayFailed { code, .. } => {
                assert_eq!(code.map(Code::as_str), Some("plivo/buffer-overflow"));
                self.play_failed += 1;
            }
            PlivoEvent::Garbled { .. } | PlivoEvent::Unexpected { .. } => self.garbled += 1,
            PlivoEvent::Gap { .. } => self.gaps += 1,
            PlivoEvent::LinkLost { close, .. } => {
                let hung_up = close.as_ref().is_some_and(|frame| frame.code == CloseFrame::NORMAL);
                self.lost_links += u64::from(!hung_up);
            }
            PlivoEvent::Started(info) => {
                self.resumed += u64::from(info.life != LinkLife::FIRST);
                self.headers += u64::from(info.header("tenant") == Some("acme"));
            }
            PlivoEvent::Dtmf(_) => self.keys += 1,
            PlivoEvent::Media(_) => self.media += 1,
            PlivoEvent::Closed => self.closed += 1,
            PlivoEvent::Unhandled { kind } => self.unhandled.push(kind.clone()),
            PlivoEvent::Cleared { .. } | PlivoEvent::ClearSettled { .. } | PlivoEvent::Skipped { .. } | _ => {
            }
        }
    }

    /// What a quirk does shows as its own event, and as nothing else.
    fn check(&self, quirk: PlivoQuirk, scenario: Scenario) {
        let name = format!("{quirk} in {scenario:?}: {self:?}");
        let breaks = matches!(scenario, Scenario::LostLink | Scenario::SilentLink);
        let clears = matches!(scenario, Scenario::BargeIn);
        let is = |quirks: &[PlivoQuirk]| quirks.contains(&quirk);
        assert_eq!(self.closed, self.calls, "{name}");
        assert!(self.media > 0, "{name}");
        assert_eq!(self.garbled, 0, "{name}");
        assert_eq!(self.played == 0, is(&[PlivoQuirk::AcksLost]), "{name}");
        assert_eq!(self.headers == 0, is(&[PlivoQuirk::BareStart]), "{name}");
        assert_eq!(self.gaps > 0, is(&[PlivoQuirk::LostMedia]), "{name}");
        assert_eq!(self.play_failed > 0, is(&[PlivoQuirk::ErrorEvents]), "{name}");
        assert_eq!(self.cleared_by_peer > 0, is(&[PlivoQuirk::UnsolicitedClear]), "{name}");
        assert_eq!(
            self.lost_links > 0,
            breaks || is(&[PlivoQuirk::AbruptClose, PlivoQuirk::Redials]),
            "{name}"
        );
        assert_eq!(self.resumed > 0, breaks || is(&[PlivoQuirk::Redials]), "{name}");
        assert_eq!(self.keys > 0, matches!(scenario, Scenario::Keys), "{name}");
        let kinds: &[&str] = if is(&[PlivoQuirk::MuteEvents]) {
            &["muteStream", "unmuteStream"]
        } else if is(&[PlivoQuirk::RepeatedStart]) {
            &["start (repeated)"]
        } else if is(&[PlivoQuirk::UnknownEvents]) {
            &["weather"]
        } else {
            &[]
        };
        assert_eq!(self.unhandled.is_empty(), kinds.is_empty(), "{name}");
        assert!(self.unhandled.iter().all(|kind| kinds.contains(&kind.as_str())), "{name}");
        if !breaks && !is(&[PlivoQuirk::Redials]) {
            assert_eq!(self.unacknowledged > 0, is(&[PlivoQuirk::AcksLost]) && !clears, "{name}");
            let unanswered = is(&[PlivoQuirk::ClearUnanswered]) && clears;
            // An error in the middle of a clear gives it up.
            assert!((self.unanswered_clears > 0) == unanswered || is(&[PlivoQuirk::ErrorEvents]), "{name}");
            // Acknowledgements of what an error or a clear had settled.
            let late = is(&[PlivoQuirk::LateAcks]) && clears;
            let settles = is(&[PlivoQuirk::ErrorEvents, PlivoQuirk::UnsolicitedClear]);
            assert!((self.stale > 0) == late || settles, "{name}");
        }
        let once = if is(&[PlivoQuirk::RepeatedCallbacks]) { 2 } else { 1 };
        assert!(self.statuses >= 2 * once * self.calls - u64::from(breaks) * self.calls, "{name}");
    }
}

fn pair_time(seed: u64, turn: u16) -> Duration {
    millis(100 + (seed * 257 + u64::from(turn) * 331) % 900)
}

/// Two losses found after 1.5 s and redialled with what they repeat, 10 s for a third redial that does
/// not come, 3 s of patience for a mark.
const LIMIT: Duration = Duration::from_secs(25);
