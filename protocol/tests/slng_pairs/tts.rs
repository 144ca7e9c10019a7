//! Synthesis over broken links: after a clear nothing old is heard, and no word is spoken twice or forgotten.

use std::time::{Duration, Instant};

use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::slng::{
    FlushPolicy, Quirks, SlngQuirk, TtsClient, TtsCommand, TtsConfig, TtsEvent, TtsServer, TtsServerConfig,
};
use voxline_protocol::{CloseFrame, UtteranceId};

use crate::account::Account;
use crate::pair::{Pair, Random, start};
use crate::synthesiser::Synthesiser;
use crate::{for_each_seed, rounds};

pub(crate) type TtsPair = Pair<TtsClient, TtsServer, Synthesiser>;

pub(crate) fn pair(policy: FlushPolicy, quirks: Quirks, eager: bool, seed: u64) -> TtsPair {
    let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz16000), "ada").with_flush_policy(policy);
    let client = TtsClient::new(config, start());
    let mut pair = Pair::new(client, Synthesiser::new(10..120, eager), make_server, quirks, 1..40, seed);
    pair.keep_received = true;
    pair
}

fn make_server(quirks: Quirks, now: Instant) -> TtsServer {
    let config = TtsServerConfig::default().with_quirks(quirks).with_chunk(Duration::from_millis(20));
    TtsServer::new(config, now)
}

/// Quirks of a speech route.
pub(crate) const QUIRKS: [SlngQuirk; 27] = [
    SlngQuirk::AgeLimit,
    SlngQuirk::AuthFrame,
    SlngQuirk::BothTerminals,
    SlngQuirk::CloseAfterTerminal,
    SlngQuirk::CloseBeforeAudio,
    SlngQuirk::CloseForTerminal,
    SlngQuirk::Dead,
    SlngQuirk::ErrorBody,
    SlngQuirk::ErrorCapitalised,
    SlngQuirk::ErrorCodeless,
    SlngQuirk::ErrorNested,
    SlngQuirk::ErrorStaysOpen,
    SlngQuirk::ErrorTypeless,
    SlngQuirk::FlushedOnly,
    SlngQuirk::IdleLimit,
    SlngQuirk::IgnoreStandaloneFlush,
    SlngQuirk::JsonAudio,
    SlngQuirk::LateAudio,
    SlngQuirk::LateReady,
    SlngQuirk::NoCleared,
    SlngQuirk::NoReady,
    SlngQuirk::NoTerminal,
    SlngQuirk::OddAudio,
    SlngQuirk::ProviderError,
    SlngQuirk::RateLimit,
    SlngQuirk::RiffHeader,
    SlngQuirk::TerminalPerFragment,
];

/// One session under random treatment.
struct Schedule {
    pair: TtsPair,
    account: Account,
    random: Random,
    quirks: Quirks,
    /// Whether the link takes messages only now and then.
    jams: bool,
    utterance: u64,
    /// The utterance has text and no flush.
    open: bool,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let quirks = random_quirks(&mut random);
        let policies = [FlushPolicy::AsGiven, FlushPolicy::Batch, FlushPolicy::Sentence];
        let policy = policies[random.within(0..3) as usize];
        // A close in good order after some audio could be an end marker; this quirk is about one before any.
        let eager = random.within(0..2) == 0 && !quirks.contains(SlngQuirk::CloseBeforeAudio);
        let mut pair = pair(policy, quirks, eager, seed);
        // Events wait inside for an application that is slow to take them.
        pair.lazy = random.within(0..4) == 0;
        let jams = random.within(0..4) == 0;
        pair.keep_received = !pair.lazy && !jams;
        Self { pair, account: Account::default(), random, quirks, jams, utterance: 0, open: false }
    }

    fn step(&mut self) {
        match self.random.within(0..11) {
            0..4 => {
                let end = ["", ".", ",", "!"][self.random.within(0..4) as usize];
                let text = self.account.give(self.utterance, self.random.within(1..5), end);
                self.pair.command(TtsCommand::Speak { utterance: UtteranceId::new(self.utterance), text });
                self.open = true;
            }
            4..7 if self.open => {
                self.pair.command(TtsCommand::Flush);
                self.next_utterance();
            }
            7 => {
                self.account.clear(&self.pair);
                self.pair.command(TtsCommand::Clear);
                self.next_utterance();
            }
            8 => self.pair.cut(),
            9 => self.hang_up(),
            _ => self.pair.run(self.random.millis(0..800)),
        }
        if self.random.within(0..2) == 0 {
            self.pair.run(self.random.millis(0..120));
        }
        if self.random.within(0..3) == 0 {
            self.pair.listen();
        }
        // A message that waits for room may be made void before it leaves.
        self.pair.jammed = self.jams && self.random.within(0..2) == 0;
        self.account.check(&self.pair);
    }

    const fn next_utterance(&mut self) {
        self.utterance += 1;
        self.open = false;
    }

    fn hang_up(&mut self) {
        // On a route that marks no ends, or each text's, a close in good order might be one.
        let tells = self.account.marks_ends && !self.quirks.contains(SlngQuirk::TerminalPerFragment);
        let code = if tells && self.random.within(0..2) == 0 { CloseFrame::NORMAL } else { 1011 };
        self.pair.hang_up(CloseFrame::new(code, ""));
    }

    /// A close in the middle of whatever was going on.
    fn close(&mut self) {
        self.account.close(&self.pair);
        self.pair.command(TtsCommand::Close);
        self.pair.run(CLOSE_LIMIT);
        self.pair.listen();
        self.account.check(&self.pair);
        self.account.expect_closed();
    }

    /// Everything comes to an end.
    fn wind_up(&mut self) {
        self.pair.command(TtsCommand::Flush);
        // A route that never answers is tried on three links, for five seconds on each.
        self.pair.run(Duration::from_secs(25) * (2 + self.utterance as u32));
        self.pair.listen();
        self.account.check(&self.pair);
        // Where no link becomes ready, text waits; when to stop dialling is not the machine's to say.
        if self.pair.failed.is_none()
            && self.pair.told.iter().any(|(_, event)| matches!(event, TtsEvent::Ready { .. }))
        {
            self.account.expect_all_ended();
        }
    }

    /// Units heard, utterances ended, truncated, clears answered.
    fn run(mut self) -> [u64; 4] {
        for _ in 0..self.random.within(4..16) {
            if self.pair.failed.is_none() {
                self.step();
            }
        }
        self.pair.jammed = false;
        if self.pair.failed.is_none() {
            match self.random.within(0..8) {
                0 => self.close(),
                _ => self.wind_up(),
            }
        }
        if let Some(error) = &self.pair.failed {
            assert!(self.quirks.contains(SlngQuirk::AuthFrame), "only a refused key is final: {error:?}");
        }
        let Account { heard_units, ended, truncated, clears_answered, .. } = self.account;
        [heard_units, ended, truncated, clears_answered]
    }
}

/// Mostly one, sometimes two, sometimes none.
fn random_quirks(random: &mut Random) -> Quirks {
    let mut quirks = Quirks::NONE;
    if random.within(0..4) > 0 {
        quirks = quirks.with(QUIRKS[random.within(0..QUIRKS.len() as u64) as usize]);
    }
    if random.within(0..8) == 0 {
        quirks = quirks.with(QUIRKS[random.within(0..QUIRKS.len() as u64) as usize]);
    }
    let closes = [SlngQuirk::CloseAfterTerminal, SlngQuirk::CloseForTerminal];
    if quirks.contains(SlngQuirk::TerminalPerFragment) && closes.iter().any(|quirk| quirks.contains(*quirk)) {
        // Closed after the first of several texts: nothing tells it from the end of all of them.
        quirks = Quirks::NONE;
    }
    quirks
}

/// T03, T08, T17, Z05.
#[test]
fn random_schedules_hear_nothing_stale_nothing_twice_and_miss_nothing() {
    let total = std::sync::Mutex::new([0; 4]);
    for_each_seed(rounds(100_000, 10_000_000), |seed| {
        let run = std::panic::catch_unwind(|| Schedule::new(seed).run());
        let run = run.unwrap_or_else(|_| panic!("seed {seed} broke a rule; see the message before this one"));
        let mut total = total.lock().unwrap();
        total.iter_mut().zip(run).for_each(|(sum, one)| *sum += one);
    });
    println!("[units heard, utterances ended, truncated, clears answered]: {total:?}");
}

/// A well-behaved gateway truncates nothing, whatever the policy: only cuts can.
#[test]
fn without_faults_every_utterance_is_heard_whole() {
    for_each_seed(rounds(300, 10_000), |seed| {
        let mut random = Random(seed);
        let policies = [FlushPolicy::AsGiven, FlushPolicy::Batch, FlushPolicy::Sentence];
        let mut pair = pair(policies[random.within(0..3) as usize], Quirks::NONE, seed % 2 == 0, seed);
        let mut account = Account::default();
        for utterance in 0..6 {
            for _ in 0..random.within(1..4) {
                let text = account.give(utterance, random.within(1..6), ".");
                pair.command(TtsCommand::Speak { utterance: UtteranceId::new(utterance), text });
                pair.run(random.millis(0..300));
            }
            pair.command(TtsCommand::Flush);
            pair.run(random.millis(0..1_000));
        }
        pair.run(Duration::from_secs(20));
        account.check(&pair);
        account.expect_all_ended();
        assert_eq!((account.ended, account.truncated), (6, 0), "seed {seed}");
    });
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let mut pair = pair(FlushPolicy::AsGiven, Quirks::NONE, true, seed);
        let mut account = Account::default();
        for utterance in 0..4 {
            let text = account.give(utterance, 5, ".");
            pair.command(TtsCommand::Speak { utterance: UtteranceId::new(utterance), text });
            pair.command(TtsCommand::Flush);
            pair.run(Duration::from_millis(150));
            pair.cut();
        }
        pair.run(Duration::from_secs(10));
        pair.trace_hash()
    };
    for seed in 0..20 {
        assert_eq!(story(seed), story(seed), "seed {seed}");
    }
    assert_ne!(story(1), story(2));
}

/// The configured limit of a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
