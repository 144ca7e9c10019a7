//! I05–I07: every utterance is reported exactly once, and what the ledger says was heard is what was heard.

use std::collections::HashMap;

use voxline_protocol::UtteranceId;
use voxline_protocol::plivo::{HeardLedger, HeardUtterance, PlivoCommand, PlivoConfig};

use crate::ear::{FORMAT, caller, heard, mark, millis, speech};
use crate::pair::{Network, Pair, Random, Said};
use crate::rounds;

#[test]
fn the_ledger_reports_each_utterance_once_and_truly() {
    let conversations = rounds(20_000, 100_000);
    let mut cut = 0;
    for seed in 0..conversations {
        cut += converse(seed);
    }
    println!("{conversations} conversations; {cut} utterances cut short");
    assert!(cut > conversations / 2, "too few interruptions to mean anything");
}

/// A ledger beside a pair, fed with what it should be.
struct Desk {
    ledger: HeardLedger,
    pair: Pair,
    seen: usize,
    reports: HashMap<UtteranceId, HeardUtterance>,
    seed: u64,
}

impl Desk {
    fn run(&mut self, span: u64) {
        self.pair.run(millis(span));
        self.feed();
    }

    fn feed(&mut self) {
        for (at, said) in &self.pair.said[self.seen..] {
            if let Said::Stream(event) = said {
                self.ledger.handle(*at, event);
            }
        }
        self.seen = self.pair.said.len();
        while let Some(report) = self.ledger.take() {
            let seed = self.seed;
            let before = self.reports.insert(report.utterance, report);
            assert!(before.is_none(), "seed {seed}: reported twice: {before:?}");
        }
    }
}

fn converse(seed: u64) -> u64 {
    let mut random = Random(seed ^ 0x1ed9e5);
    let base = random.within(1..80);
    let network =
        Network { to_plivo: base..base + random.within(1..30), to_us: base..base + random.within(1..30) };
    let pair = Pair::thin(PlivoConfig::default(), caller(), network, seed);
    let ledger = HeardLedger::new(FORMAT);
    let mut desk = Desk { ledger, pair, seen: 0, reports: HashMap::new(), seed };
    desk.feed();
    let mut given = Vec::new();
    let mut breaks = if random.once_in(3) { 2 } else { 0 };
    for utterance in 0..5_u16 {
        let id = UtteranceId::new(u64::from(utterance));
        let length = random.within(100..1_000);
        let spacing = random.within(50..500);
        let mut at = 0;
        while at < length {
            let end = length.min(at + spacing);
            desk.ledger.text(id, "word ");
            let audio = speech(utterance, at, end);
            desk.ledger.audio(desk.pair.now, id, audio.len());
            desk.pair.ask(PlivoCommand::Play(audio));
            at = end;
            let name = if at == length { desk.ledger.finish(id) } else { desk.ledger.mark(id) };
            desk.pair.ask(PlivoCommand::Checkpoint(name));
        }
        given.push(length);
        desk.run(random.within(0..length + 300));
        if breaks > 0 && random.once_in(4) {
            breaks -= 1;
            desk.pair.break_link();
            desk.run(random.within(0..1_500));
        }
        if random.once_in(2) {
            desk.ledger.clear();
            desk.pair.ask(PlivoCommand::Clear);
        }
    }
    desk.pair.settle();
    desk.feed();
    check(&desk, &given)
}

fn check(desk: &Desk, given: &[u64]) -> u64 {
    let mut cut = 0;
    for (utterance, length) in given.iter().enumerate() {
        let seed = desk.seed;
        let id = UtteranceId::new(utterance as u64);
        let report = desk.reports.get(&id).unwrap_or_else(|| panic!("seed {seed}: {id} is never reported"));
        let own = heard(&desk.pair.said).flatten().filter(|(from, _)| *from == mark(utterance as u16));
        let truth = own.map(|(_, at)| u64::from(at) + 1).max().unwrap_or(0);
        // The ear is read to the millisecond in which a cut fell.
        let (low, high) = (millis(truth.saturating_sub(1)), millis(truth));
        assert!(
            report.heard.at_least <= high && low <= report.heard.at_most,
            "seed {seed}: {truth} ms of {id} heard, reported {report:?}"
        );
        if truth == *length && report.heard.at_least == millis(*length) {
            assert!(report.complete, "seed {seed}: {report:?}");
        }
        cut += u64::from(!report.complete);
    }
    cut
}
