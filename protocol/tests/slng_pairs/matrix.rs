//! Z07: every quirk in every situation. The right event tells of it, and no wait outlasts its limit.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::slng::{FlushPolicy, Quirks, SlngQuirk, SttCommand, SttEvent, TtsCommand, TtsEvent};
use voxline_protocol::{Code, Machine, ProtocolError, UtteranceId};

use crate::account::Account;
use crate::outcomes::expected;
use crate::pair::{Backend, Pair};
use crate::recogniser::{recording, spoken};
use crate::{stt, tts};

/// The quirk, and what it takes to show itself: an error's shape shows in an error.
fn quirks(quirk: SlngQuirk) -> Quirks {
    match quirk {
        SlngQuirk::ErrorCapitalised
        | SlngQuirk::ErrorCodeless
        | SlngQuirk::ErrorNested
        | SlngQuirk::ErrorStaysOpen
        | SlngQuirk::ErrorTypeless => Quirks::NONE.with(quirk).with(SlngQuirk::ProviderError),
        _ => Quirks::NONE.with(quirk),
    }
}

#[test]
fn every_quirk_comes_to_the_right_end_in_every_situation_and_is_told_by_its_own_code() {
    let mut wrong = Vec::new();
    for quirk in SlngQuirk::ALL {
        let row = expected(*quirk);
        for (situation, seen, expected) in [
            ("speak", speak(*quirk), row.speak),
            ("interrupt", interrupt(*quirk), row.interrupt),
            ("transcribe", transcribe(*quirk), row.transcribe),
            ("reconnect, speaking", respeak(*quirk), row.respeak),
            ("reconnect, transcribing", rehear(*quirk), row.rehear),
            ("close, speaking", hush(*quirk), row.hush),
            ("close, transcribing", finish(*quirk), row.finish),
        ] {
            if seen != expected {
                wrong.push(format!("{quirk}, {situation}: {seen:?} rather than {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A session that speaks, and the account of what it was given.
struct Speech {
    pair: tts::TtsPair,
    account: Account,
    utterance: u64,
    /// Events told before its text was given.
    since: usize,
}

impl Speech {
    fn new(quirk: SlngQuirk) -> Self {
        let mut pair = tts::pair(FlushPolicy::AsGiven, quirks(quirk), false, 3);
        pair.run(Duration::from_millis(100));
        Self { pair, account: Account::default(), utterance: 0, since: 0 }
    }

    /// Two texts and a flush, far enough apart for three messages.
    fn say(&mut self, words: u64) {
        if self.pair.failed.is_some() {
            return;
        }
        self.utterance += 1;
        self.since = self.pair.told.len();
        for end in ["", "."] {
            let text = self.account.give(self.utterance, words, end);
            self.pair.command(TtsCommand::Speak { utterance: UtteranceId::new(self.utterance), text });
            self.pair.run(Duration::from_millis(20));
        }
        self.pair.command(TtsCommand::Flush);
    }

    /// What becomes of the utterance, within its limit.
    fn outcome(&mut self) -> String {
        let (id, asked) = (UtteranceId::new(self.utterance), self.pair.now);
        let warned = self.warned().count();
        let over = until(&mut self.pair, self.since, TTS_LIMIT, |event| match event {
            TtsEvent::UtteranceEnd { utterance, .. } if *utterance == id => Some("spoken".to_owned()),
            TtsEvent::Truncated { utterance, reason, .. } if *utterance == id => Some(format!("{reason:?}")),
            _ => None,
        });
        self.account.check(&self.pair);
        let Some((at, what)) = over else { return "waits".to_owned() };
        let told = self.warned().count() > warned;
        assert!(told || at - asked <= PROMPT, "{what} after {:?} without a word why", at - asked);
        what
    }

    fn warned(&self) -> impl Iterator<Item = Code> {
        self.pair.told.iter().filter_map(|(_, event)| match event {
            TtsEvent::Warning { code, .. } => Some(*code),
            _ => None,
        })
    }

    fn tell(&self, what: &[String]) -> String {
        tell(what, self.warned(), self.pair.failed.as_ref())
    }
}

fn speak(quirk: SlngQuirk) -> String {
    let mut speech = Speech::new(quirk);
    speech.say(2);
    let first = speech.outcome();
    speech.pair.run(HALF_A_MINUTE);
    speech.say(2);
    let second = speech.outcome();
    speech.tell(&[first, second])
}

fn interrupt(quirk: SlngQuirk) -> String {
    let mut speech = Speech::new(quirk);
    speech.say(20);
    until(&mut speech.pair, speech.since, Duration::from_secs(3), |event| {
        matches!(event, TtsEvent::Audio { .. }).then_some(())
    });
    let mut cleared = "not cleared".to_owned();
    if speech.pair.failed.is_none() {
        speech.account.clear(&speech.pair);
        let since = speech.pair.told.len();
        speech.pair.command(TtsCommand::Clear);
        let told = until(&mut speech.pair, since, CLEAR_LIMIT, |event| {
            matches!(event, TtsEvent::Cleared { .. }).then_some(())
        });
        if told.is_some() {
            cleared = "cleared".to_owned();
        }
    }
    speech.say(2);
    let second = speech.outcome();
    speech.tell(&[cleared, second])
}

fn respeak(quirk: SlngQuirk) -> String {
    let mut speech = Speech::new(quirk);
    speech.say(2);
    speech.pair.cut();
    let lost = speech.pair.told.iter().any(|(_, event)| matches!(event, TtsEvent::LinkLost(_)));
    let outcome = speech.outcome();
    speech.tell(&[if lost { "lost" } else { "never open" }.to_owned(), outcome])
}

fn hush(quirk: SlngQuirk) -> String {
    let mut speech = Speech::new(quirk);
    speech.say(20);
    if speech.pair.failed.is_none() {
        speech.pair.run(Duration::from_millis(80));
    }
    if speech.pair.failed.is_some() {
        return speech.tell(&[]);
    }
    speech.account.close(&speech.pair);
    let since = speech.pair.told.len();
    speech.pair.command(TtsCommand::Close);
    let told = until(&mut speech.pair, since, TTS_CLOSE_LIMIT, |event| {
        matches!(event, TtsEvent::Closed).then_some(())
    });
    speech.account.check(&speech.pair);
    speech.tell(&[if told.is_some() { "closed" } else { "waits" }.to_owned()])
}

/// A session that listens, to a recording of so many blocks.
struct Hearing {
    pair: stt::SttPair,
    given: u64,
}

impl Hearing {
    fn new(quirk: SlngQuirk) -> Self {
        Self { pair: stt::pair(quirks(quirk), 1..40, 3), given: 0 }
    }

    /// Half a recording in real time.
    fn give(&mut self) {
        let (from, to) = (self.given, self.given + PART);
        let audio = recording(to, RUN, PART - RUN);
        for frame in audio[(from * 1_600) as usize..].chunks(320) {
            if self.pair.failed.is_none() {
                self.pair.command(SttCommand::Audio(Bytes::copy_from_slice(frame)));
                self.pair.run(Duration::from_millis(20));
            }
        }
        self.given = to;
    }

    /// What becomes of a finalize, within its limit.
    fn finalize(&mut self) -> String {
        let (asked, since) = (self.pair.now, self.pair.told.len());
        if self.pair.failed.is_none() {
            self.pair.command(SttCommand::Finalize);
        }
        let warned = self.warned().count();
        let over = until(&mut self.pair, since, FINAL_LIMIT, |event| match event {
            SttEvent::Finalized { .. } => Some(true),
            SttEvent::FinalizeTimedOut { .. } => Some(false),
            _ => None,
        });
        match over {
            Some((at, true)) => {
                let told = self.warned().count() > warned;
                assert!(told || at - asked <= PROMPT, "finalized after {:?}", at - asked);
                self.heard().to_owned()
            }
            Some((_, false)) => format!("{}, timed out", self.heard()),
            None => "waits".to_owned(),
        }
    }

    fn heard(&self) -> &'static str {
        let expected: Vec<_> = spoken(self.given, RUN, PART - RUN).iter().map(u64::to_string).collect();
        let words = stt::words(&self.pair);
        match words.len() {
            0 => "unheard",
            _ if words == expected => "heard",
            _ => "partly heard",
        }
    }

    fn warned(&self) -> impl Iterator<Item = Code> {
        self.pair.told.iter().filter_map(|(_, event)| match event {
            SttEvent::Warning { code, .. } => Some(*code),
            _ => None,
        })
    }

    fn tell(&self, what: &[String]) -> String {
        tell(what, self.warned(), self.pair.failed.as_ref())
    }
}

fn transcribe(quirk: SlngQuirk) -> String {
    let mut hearing = Hearing::new(quirk);
    hearing.give();
    let first = hearing.finalize();
    if hearing.pair.failed.is_none() {
        hearing.pair.run(HALF_A_MINUTE);
    }
    hearing.give();
    let second = hearing.finalize();
    hearing.tell(&[first, second])
}

fn rehear(quirk: SlngQuirk) -> String {
    let mut hearing = Hearing::new(quirk);
    hearing.give();
    hearing.pair.cut();
    let lost = hearing.pair.told.iter().any(|(_, event)| matches!(event, SttEvent::LinkLost(_)));
    hearing.give();
    let outcome = hearing.finalize();
    hearing.tell(&[if lost { "lost" } else { "never open" }.to_owned(), outcome])
}

fn finish(quirk: SlngQuirk) -> String {
    let mut hearing = Hearing::new(quirk);
    hearing.give();
    if hearing.pair.failed.is_some() {
        return hearing.tell(&[]);
    }
    let since = hearing.pair.told.len();
    hearing.pair.command(SttCommand::Close);
    let told = until(&mut hearing.pair, since, STT_CLOSE_LIMIT, |event| {
        matches!(event, SttEvent::Closed).then_some(())
    });
    let end = if told.is_some() { "closed" } else { "waits" };
    let lost = hearing.pair.told.iter().any(|(_, event)| matches!(event, SttEvent::Dropped { .. }));
    let heard = if lost { format!("{}, lost aloud", hearing.heard()) } else { hearing.heard().to_owned() };
    hearing.tell(&[heard, end.to_owned()])
}

/// Runs until an event is told that is wanted, from event number `since` on, for so long at most.
fn until<C: Machine, S: Machine, B: Backend<S>, T>(
    pair: &mut Pair<C, S, B>,
    since: usize,
    limit: Duration,
    wanted: impl Fn(&C::Event) -> Option<T>,
) -> Option<(Instant, T)>
where
    C::Event: Debug,
{
    let (give_up, mut seen) = (pair.now + limit, since);
    loop {
        let found = pair.told[seen..].iter().find_map(|(at, event)| Some((*at, wanted(event)?)));
        seen = pair.told.len();
        if found.is_some() || pair.now >= give_up || pair.failed.is_some() {
            return found;
        }
        pair.run(Duration::from_millis(10).min(give_up - pair.now));
    }
}

/// Outcomes, and each code once, in the order in which they came first; or what the session failed by.
fn tell(what: &[String], warned: impl Iterator<Item = Code>, failed: Option<&ProtocolError>) -> String {
    if let Some(error) = failed {
        return format!("failed {}", error.code());
    }
    let mut codes = Vec::new();
    for code in warned {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let codes: Vec<_> = codes.iter().map(Code::to_string).collect();
    let what = what.join(", ");
    if codes.is_empty() { what } else { format!("{what} | {}", codes.join(" ")) }
}

/// Half a recording: so many blocks, of which so many are speech.
const PART: u64 = 15;
const RUN: u64 = 10;
/// Longer than any limit of the gateway's on a quiet link.
const HALF_A_MINUTE: Duration = Duration::from_secs(31);
/// What takes longer has to be told of. A late `ready` takes two seconds.
const PROMPT: Duration = Duration::from_millis(2_700);
/// Each of three links may wait five seconds for something, and be dialled again within half a second.
const TTS_LIMIT: Duration = Duration::from_millis(3 * 5_500 + 1_000);
const CLEAR_LIMIT: Duration = Duration::from_millis(300);
const TTS_CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Three seconds, on each of two links.
const FINAL_LIMIT: Duration = Duration::from_millis(2 * 3_000 + 3_000);
const STT_CLOSE_LIMIT: Duration = Duration::from_secs(5);
