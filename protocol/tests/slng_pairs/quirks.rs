//! Z07: every quirk with every flush policy, and situations one after the other in one session: no wait outlasts its limit.

use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::UtteranceId;
use voxline_protocol::slng::{
    FlushPolicy, Quirks, SlngQuirk, SttCommand, SttEvent, Truncation, TtsCommand, TtsEvent,
};

use crate::recogniser::recording;
use crate::{stt, tts};

/// Each of three links may wait five seconds for something, and be dialled again within half a second.
const TTS_LIMIT: Duration = Duration::from_millis(3 * 5_500 + 1_000);
const CLEAR_LIMIT: Duration = Duration::from_millis(300);
const TTS_CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Three seconds on each of two links.
const FINAL_LIMIT: Duration = Duration::from_millis(2 * 3_000 + 3_000);
const STT_CLOSE_LIMIT: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_millis(200);

fn speak(pair: &mut tts::TtsPair, utterance: u64, text: &str) {
    pair.command(TtsCommand::Speak { utterance: UtteranceId::new(utterance), text: text.to_owned() });
}

/// When an event of a kind was told, at or after `since`.
fn told<E>(told: &[(Instant, E)], since: Instant, wanted: impl Fn(&E) -> bool) -> Option<Instant> {
    told.iter().find(|(at, event)| *at >= since && wanted(event)).map(|(at, _)| *at)
}

fn is_ready(pair: &tts::TtsPair) -> bool {
    pair.told.iter().any(|(_, event)| matches!(event, TtsEvent::Ready { .. }))
}

/// Speaks `utterance` and expects it to come to an end in time, unless no link ever becomes ready.
fn expect_spoken(pair: &mut tts::TtsPair, utterance: u64, quirk: SlngQuirk) {
    let asked = pair.now;
    speak(pair, utterance, "w1 w2 w3 w4 w5 w6. ");
    pair.command(TtsCommand::Flush);
    pair.run(TTS_LIMIT + SLACK);
    let over = told(&pair.told, asked, |event| {
        matches!(event, TtsEvent::UtteranceEnd { .. } | TtsEvent::Truncated { .. })
    });
    assert!(
        over.is_some() || pair.failed.is_some() || !is_ready(pair),
        "{quirk}: utterance {utterance} hangs"
    );
}

#[test]
fn every_quirk_lets_a_session_speak_be_interrupted_reconnect_and_close_in_time() {
    for quirk in SlngQuirk::ALL {
        for policy in [FlushPolicy::AsGiven, FlushPolicy::Batch, FlushPolicy::Sentence] {
            for cut in [false, true] {
                let mut pair = tts::pair(policy, Quirks::NONE.with(*quirk), true, 7);
                expect_spoken(&mut pair, 1, *quirk);
                if pair.failed.is_none() {
                    interrupt(&mut pair, *quirk, cut);
                }
                if pair.failed.is_none() {
                    expect_spoken(&mut pair, 3, *quirk);
                }
                if pair.failed.is_none() {
                    let asked = pair.now;
                    pair.command(TtsCommand::Close);
                    pair.run(TTS_CLOSE_LIMIT + SLACK);
                    let closed = told(&pair.told, asked, |event| matches!(event, TtsEvent::Closed));
                    assert!(closed.is_some_and(|at| at - asked <= TTS_CLOSE_LIMIT), "{quirk}: close hangs");
                }
            }
        }
    }
}

fn interrupt(pair: &mut tts::TtsPair, quirk: SlngQuirk, cut: bool) {
    speak(pair, 2, "w7 w8 w9 w10 w11 w12. ");
    pair.command(TtsCommand::Flush);
    pair.run(Duration::from_millis(150));
    if cut {
        pair.cut();
    }
    if pair.failed.is_some() {
        return;
    }
    let asked = pair.now;
    pair.command(TtsCommand::Clear);
    pair.run(CLEAR_LIMIT + SLACK);
    let cleared = told(&pair.told, asked, |event| matches!(event, TtsEvent::Cleared { .. }));
    let in_time = cleared.is_some_and(|at| at - asked <= CLEAR_LIMIT);
    assert!(in_time || pair.failed.is_some(), "{quirk}: clear hangs");
}

#[test]
fn every_quirk_lets_a_session_transcribe_reconnect_and_close_in_time() {
    let audio = recording(30, 12, 5);
    for quirk in SlngQuirk::ALL {
        for cut in [false, true] {
            let mut pair = stt::pair(Quirks::NONE.with(*quirk), 1..40, 7);
            for (index, frame) in audio.chunks(320).enumerate() {
                if pair.failed.is_some() {
                    break;
                }
                pair.command(SttCommand::Audio(Bytes::copy_from_slice(frame)));
                pair.run(Duration::from_millis(20));
                if cut && index == 60 {
                    pair.cut();
                }
            }
            if pair.failed.is_none() {
                let asked = pair.now;
                pair.command(SttCommand::Finalize);
                pair.run(FINAL_LIMIT + SLACK);
                let answered = told(&pair.told, asked, |event| {
                    matches!(event, SttEvent::Finalized { .. } | SttEvent::FinalizeTimedOut { .. })
                });
                let ready = pair.told.iter().any(|(_, event)| matches!(event, SttEvent::Ready { .. }));
                assert!(answered.is_some() || pair.failed.is_some() || !ready, "{quirk}: finalize hangs");
            }
            if pair.failed.is_none() {
                let asked = pair.now;
                pair.command(SttCommand::Close);
                pair.run(6 * STT_CLOSE_LIMIT);
                let closed = told(&pair.told, asked, |event| matches!(event, SttEvent::Closed));
                assert!(closed.is_some() || pair.failed.is_some(), "{quirk}: close hangs");
            }
        }
    }
}

/// T17: silence in the middle of an utterance is its own kind of end.
#[test]
fn a_route_without_end_markers_truncates_by_silence() {
    let mut pair = tts::pair(FlushPolicy::Batch, Quirks::NONE.with(SlngQuirk::NoTerminal), false, 3);
    expect_spoken(&mut pair, 1, SlngQuirk::NoTerminal);
    let silent = |event: &TtsEvent| matches!(event, TtsEvent::Truncated { reason: Truncation::WentSilent, spoken, .. } if !spoken.is_zero());
    assert!(told(&pair.told, crate::pair::start(), silent).is_some());
}
