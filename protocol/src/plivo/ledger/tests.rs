//! What the ledger says was heard, after clears, losses, pauses and ends.

use super::*;
use crate::plivo::LossCause;

const ONE: UtteranceId = UtteranceId::new(1);
const TWO: UtteranceId = UtteranceId::new(2);

fn settled(at_least: u64, played: u64, at_most: u64) -> [PlivoEvent; 2] {
    let millis = Duration::from_millis;
    let heard = Heard { at_least: millis(at_least), played: millis(played), at_most: millis(at_most) };
    [
        PlivoEvent::Cleared {
            dropped: Duration::ZERO,
            unheard: bytes::Bytes::new(),
            heard,
            by: ClearedBy::Us,
        },
        PlivoEvent::ClearSettled { heard, acknowledged: true },
    ]
}

fn two_sentences(now: Instant) -> (HeardLedger, Vec<CheckpointName>) {
    let mut ledger = HeardLedger::new(AudioFormat::PHONE);
    ledger.text(ONE, "One two three four. ");
    ledger.audio(now, ONE, 16_000);
    let first = ledger.mark(ONE);
    ledger.text(ONE, "Five six seven eight.");
    ledger.audio(now, ONE, 16_000);
    let last = ledger.finish(ONE);
    (ledger, vec![first, last])
}

#[test]
fn an_interrupted_utterance_is_cut_to_whole_words_once() {
    let now = Instant::now();
    for (played, text, basis) in [
        (0, "", TextBasis::Exact),
        (1_000, "One two", TextBasis::Proportional),
        (2_000, "One two three four.", TextBasis::Proportional),
        (3_200, "One two three four. Five six", TextBasis::Proportional),
        (4_000, "One two three four. Five six seven eight.", TextBasis::Exact),
    ] {
        let (mut ledger, _) = two_sentences(now);
        ledger.clear();
        ledger.audio(now, TWO, 160);
        for event in settled(0, played, 4_000) {
            ledger.handle(now, &event);
        }
        let cut = ledger.take().unwrap();
        assert_eq!((cut.text.as_str(), cut.basis, cut.complete), (text, basis, played == 4_000), "{played}");
        assert_eq!(ledger.take(), None);
        assert!(ledger.heard(now, ONE).is_none());
        assert!(ledger.heard(now, TWO).is_some());
    }
}

#[test]
fn word_times_decide_where_they_are_given() {
    let now = Instant::now();
    let mut ledger = HeardLedger::new(AudioFormat::PHONE);
    ledger.text(ONE, "Wait a minute");
    for (at, end) in [(900, 4), (950, 6), (1_500, 13)] {
        ledger.word(ONE, Duration::from_millis(at), end);
    }
    ledger.audio(now, ONE, 16_000);
    ledger.clear();
    for event in settled(0, 940, 1_000) {
        ledger.handle(now, &event);
    }
    let cut = ledger.take().unwrap();
    assert_eq!((cut.text.as_str(), cut.basis), ("Wait", TextBasis::Words));
}

#[test]
fn an_acknowledged_mark_raises_the_lower_end() {
    let now = Instant::now();
    let (mut ledger, marks) = two_sentences(now);
    let later = now + Duration::from_millis(2_100);
    ledger.handle(later, &PlivoEvent::Played(marks[0].clone()));
    let heard = ledger.heard(later, ONE).unwrap().heard;
    assert_eq!(heard.at_least, Duration::from_secs(2));
    assert_eq!(heard.at_most, Duration::from_millis(2_100));
    ledger.handle(later, &PlivoEvent::Played(marks[1].clone()));
    assert!(ledger.take().unwrap().complete);
}

#[test]
fn an_overdue_mark_still_ends_its_utterance() {
    let now = Instant::now();
    let (mut ledger, marks) = two_sentences(now);
    let name = marks[1].clone();
    let later = now + Duration::from_secs(7);
    ledger.handle(later, &PlivoEvent::Skipped { name, why: SkipReason::TimedOut });
    let heard = ledger.take().unwrap();
    assert!(heard.complete);
    assert_eq!(heard.heard.at_least, Duration::ZERO);
}

fn lost(played: u64) -> PlivoEvent {
    let millis = Duration::from_millis;
    let heard = Heard { at_least: millis(0), played: millis(played), at_most: millis(played + 200) };
    PlivoEvent::LinkLost { close: None, cause: LossCause::Closed, heard, unheard: Duration::ZERO }
}

fn peer_cleared(played: u64, lost: u64) -> [PlivoEvent; 2] {
    let millis = Duration::from_millis;
    let heard = Heard { at_least: millis(played), played: millis(played), at_most: millis(played) };
    [
        PlivoEvent::Cleared {
            dropped: millis(lost),
            unheard: vec![0; 8 * lost as usize].into(),
            heard,
            by: ClearedBy::Peer,
        },
        PlivoEvent::ClearSettled { heard, acknowledged: true },
    ]
}

fn cleared(unheard: u64, played: u64) -> [PlivoEvent; 2] {
    let [mut cleared, settled] = settled(played, played, played);
    if let PlivoEvent::Cleared { unheard: bytes, .. } = &mut cleared {
        *bytes = vec![0; 8 * unheard as usize].into();
    }
    [cleared, settled]
}

fn feed(ledger: &mut HeardLedger, now: Instant, events: &[PlivoEvent]) {
    for event in events {
        ledger.handle(now, event);
    }
}

fn started() -> PlivoEvent {
    let start = r#"{"event":"start","start":{"callId":"c","streamId":"s",
        "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}}}"#;
    PlivoEvent::Started(StreamInfo::from_start(start).unwrap())
}

#[test]
fn after_a_lost_link_a_clear_counts_from_where_speech_resumed() {
    let now = Instant::now();
    let (mut ledger, _) = two_sentences(now);
    feed(&mut ledger, now, &[lost(1_000), started()]);
    ledger.clear();
    // Since the link came back, 1.2 s were heard: 2.2 s in all.
    feed(&mut ledger, now, &settled(1_200, 1_200, 1_200));
    let cut = ledger.take().unwrap();
    assert_eq!(cut.heard.played, Duration::from_millis(2_200));
    assert_eq!(cut.text, "One two three four.");
}

#[test]
fn an_utterance_a_peers_clear_swallows_is_over_at_once() {
    let now = Instant::now();
    let (mut ledger, marks) = two_sentences(now);
    ledger.text(TWO, "Next one.");
    ledger.audio(now, TWO, 8_000);
    let last = ledger.finish(TWO);
    feed(&mut ledger, now, &peer_cleared(1_000, 3_000));
    for name in marks {
        ledger.handle(now, &PlivoEvent::Skipped { name, why: SkipReason::Cleared });
    }
    let cut = ledger.take().unwrap();
    assert_eq!((cut.utterance, cut.text.as_str(), cut.complete), (ONE, "One two", false));
    assert_eq!(ledger.take(), None, "what was not at Plivo goes on");
    ledger.handle(now + Duration::from_secs(1), &PlivoEvent::Played(last));
    let next = ledger.take().unwrap();
    assert_eq!((next.utterance, next.complete), (TWO, true));
}

#[test]
fn a_hole_in_the_middle_is_not_heard_all() {
    let now = Instant::now();
    let (mut ledger, marks) = two_sentences(now);
    feed(&mut ledger, now, &peer_cleared(1_000, 500));
    ledger.handle(now, &PlivoEvent::Played(marks[1].clone()));
    let heard = ledger.take().unwrap();
    assert_eq!((heard.heard.at_least, heard.complete), (Duration::from_secs(4), false));
}

#[test]
fn a_peers_clear_settles_no_clear_of_ours() {
    let now = Instant::now();
    let (mut ledger, _) = two_sentences(now);
    ledger.clear();
    feed(&mut ledger, now, &peer_cleared(1_000, 500));
    assert_eq!(ledger.take(), None, "ours has not reached the stream");
    feed(&mut ledger, now, &settled(0, 0, 0));
    assert!(ledger.take().is_some());
}

#[test]
fn what_was_cut_before_its_end_is_not_complete() {
    let now = Instant::now();
    for (audio, heard) in [(0, ""), (8_000, "One two three"), (160, "")] {
        let mut ledger = HeardLedger::new(AudioFormat::PHONE);
        ledger.text(ONE, "One two three four five.");
        ledger.audio(now, ONE, audio);
        ledger.clear();
        let millis = audio as u64 / 8;
        feed(&mut ledger, now, &settled(millis, millis, millis));
        let cut = ledger.take().unwrap();
        assert_eq!((cut.text.as_str(), cut.complete), (heard, false), "{audio} bytes");
    }
}

#[test]
fn an_utterance_given_up_ends_where_its_audio_does() {
    let now = Instant::now();
    let mut ledger = HeardLedger::new(AudioFormat::PHONE);
    ledger.text(ONE, "Thirty characters of a sentence");
    ledger.audio(now, ONE, 8_000);
    let mark = ledger.give_up(ONE);
    ledger.handle(now + Duration::from_secs(1), &PlivoEvent::Played(mark));
    let heard = ledger.take().unwrap();
    assert_eq!((heard.text.as_str(), heard.basis, heard.complete), ("Thirty", TextBasis::Rate, false));
}

#[test]
fn an_unanswered_clear_keeps_apart_what_is_said_after_it() {
    let now = Instant::now();
    let (mut ledger, _) = two_sentences(now);
    ledger.clear();
    ledger.text(TWO, "Something else.");
    ledger.audio(now, TWO, 8_000);
    let mark = ledger.finish(TWO);
    let [confirmed, settled] = settled(500, 1_000, 1_500);
    ledger.handle(now, &confirmed);
    ledger.handle(now + Duration::from_secs(1), &PlivoEvent::Played(mark));
    assert_eq!(ledger.take().unwrap().utterance, TWO);
    assert_eq!(ledger.take(), None);
    ledger.handle(now + Duration::from_secs(2), &settled);
    let cut = ledger.take().unwrap();
    assert_eq!((cut.utterance, cut.text.as_str()), (ONE, "One two"));
}

#[test]
fn a_pause_ends_nothing_and_resumes_with_its_marks() {
    let now = Instant::now();
    let (mut ledger, marks) = two_sentences(now);
    ledger.pause();
    assert_eq!(ledger.resume(now), None, "the stream has not dropped anything yet");
    feed(&mut ledger, now, &cleared(2_500, 1_500));
    for name in marks.clone() {
        ledger.handle(now, &PlivoEvent::Skipped { name, why: SkipReason::Cleared });
    }
    assert_eq!(ledger.take(), None);
    let again = ledger.resume(now).unwrap();
    assert_eq!(again, [(8 * 500, marks[0].clone()), (8 * 2_500, marks[1].clone())]);
    ledger.handle(now + Duration::from_millis(2_500), &PlivoEvent::Played(marks[1].clone()));
    let heard = ledger.take().unwrap();
    assert_eq!((heard.heard.at_least, heard.complete), (Duration::from_secs(4), true));
}

#[test]
fn a_barge_in_after_a_pause_is_heard_up_to_the_pause() {
    let now = Instant::now();
    for settled_first in [false, true] {
        let (mut ledger, _) = two_sentences(now);
        ledger.pause();
        let [confirmed, settled] = cleared(3_000, 1_000);
        ledger.handle(now, &confirmed);
        if settled_first {
            ledger.handle(now, &settled);
        }
        ledger.clear();
        ledger.handle(now + Duration::from_secs(9), &settled);
        let cut = ledger.take().unwrap();
        assert_eq!(cut.heard.played, Duration::from_secs(1), "settled first: {settled_first}");
        assert_eq!((cut.text.as_str(), ledger.take()), ("One two", None));
        ledger.text(TWO, "Something else.");
        ledger.audio(now, TWO, 8_000);
        let mark = ledger.finish(TWO);
        ledger.handle(now + Duration::from_secs(1), &PlivoEvent::Played(mark));
        assert!(ledger.take().unwrap().complete);
    }
}

#[test]
fn the_end_ends_everything_for_good() {
    let now = Instant::now();
    let (mut ledger, _) = two_sentences(now);
    ledger.handle(now + Duration::from_secs(1), &PlivoEvent::Closed);
    assert!(!ledger.take().unwrap().complete);
    ledger.text(ONE, "More.");
    ledger.audio(now, ONE, 160);
    let mark = ledger.finish(ONE);
    ledger.handle(now, &PlivoEvent::Played(mark));
    assert_eq!(ledger.take(), None, "reported once");
}

#[test]
fn words_are_found_in_the_text_with_what_follows_them() {
    let now = Instant::now();
    let mut ledger = HeardLedger::new(AudioFormat::PHONE);
    ledger.text(ONE, "Well, no. Wait a minute!");
    // The sentence was made twice; the second time, its first words were told again.
    for (until, word) in
        [(300, "Well"), (700, "no"), (310, "Well"), (700, "no"), (1_000, "Wait"), (1_100, "um")]
    {
        ledger.spoken(ONE, Duration::from_millis(until), word);
    }
    ledger.audio(now, ONE, 16_000);
    ledger.clear();
    feed(&mut ledger, now, &settled(750, 750, 750));
    let cut = ledger.take().unwrap();
    assert_eq!((cut.text.as_str(), cut.basis), ("Well, no.", TextBasis::Words));
}

#[test]
fn text_without_spaces_is_cut_between_characters() {
    let now = Instant::now();
    let mut ledger = HeardLedger::new(AudioFormat::PHONE);
    ledger.text(ONE, "今日はとても良い天気です。");
    ledger.audio(now, ONE, 8_000);
    let _ = ledger.finish(ONE);
    ledger.clear();
    feed(&mut ledger, now, &settled(500, 500, 500));
    assert_eq!(ledger.take().unwrap().text, "今日はとても");
}

#[test]
fn words_that_are_none_hold_no_memory() {
    let now = Instant::now();
    let mut ledger = HeardLedger::new(AudioFormat::PHONE);
    ledger.text(ONE, "One two three four.");
    ledger.audio(now, ONE, 16_000);
    for until in 0..1_000 {
        ledger.spoken(ONE, Duration::from_millis(until), if until == 500 { "One" } else { "" });
    }
    let entry = &ledger.utterances[0];
    assert_eq!(entry.anchors(), 1);
}
