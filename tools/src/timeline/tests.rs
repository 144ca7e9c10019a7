//! What a picture must contain, whatever the call was like.

use voxline_audio::SampleRate;

use super::*;

#[test]
fn everything_that_happened_is_in_the_picture() {
    let picture = a_call().to_svg();
    for words in [
        "Four turns &amp; two cuts",
        "barge-in",
        "turn 4",
        "I would like to change my appointment",
        "class=\"struck\"",
        "phone",
        "STT",
        "TTS",
        "20 s",
        "responder: 430 ms",
        "1000 ms",
    ] {
        assert!(picture.contains(words), "{words}");
    }
    assert_eq!(
        picture.matches("class=\"cut\"").count(),
        2 * (2 + 1),
        "two cuts and the legend, two strokes each"
    );
    assert_eq!(picture.matches("class=\"band").count(), 4);
    // A person looks at it: VOXLINE_TIMELINE=out.svg cargo test -p voxline timeline
    if let Some(path) = std::env::var_os("VOXLINE_TIMELINE") {
        std::fs::write(path, picture).unwrap();
    }
}

#[test]
fn an_avatar_has_a_voice_of_its_own_in_the_picture() {
    let call = a_call();
    let without = call.to_svg();
    assert!(!without.contains("avatar-text\""));
    let mut room = vec![0; 16_000 * 25];
    room[..32_000].fill(9_000);
    let with = call.with_avatar(SampleRate::Hz16000, &room).to_svg();
    assert!(with.contains(">avatar</text>") && with.contains("class=\"voice avatar\""));
    let strokes = |svg: &str| {
        let (_, rest) = svg.split_once("class=\"voice avatar\"").unwrap();
        rest.split_once("/>").unwrap().0.matches('M').count()
    };
    let share = strokes(&with) as f64 / SLICES as f64;
    assert!((share - 2.0 / 25.0).abs() < 0.01, "two of twenty-five seconds: {share}");
}

#[test]
fn words_cannot_break_the_document() {
    let mut call = a_call();
    call.title = "<script>\"'&\u{0}\u{ffff}".to_owned();
    call.turns[0].caller_said = "]]></text><!--".to_owned();
    call.turns[0].agent_text = "a < b\nand so on ".repeat(40);
    call.turns[0].agent_heard = "a < b".to_owned();
    call.links[0].name = "<b>".to_owned();
    let picture = call.to_svg();
    for forbidden in ["<script", "<!--", "</text><!", "<b>", "\u{0}", "\u{ffff}"] {
        assert!(!picture.contains(forbidden), "{forbidden:?}");
    }
    assert_eq!(picture.matches("<text").count(), picture.matches("</text>").count());
    assert_eq!(picture.matches("<rect").count(), picture.matches("</rect>").count() + 1);
}

#[test]
fn a_call_without_anything_is_still_a_picture() {
    let empty = Timeline::new("", SampleRate::Hz8000, &[], &[]).to_svg();
    assert!(empty.starts_with("<svg") && empty.ends_with("</svg>\n"));
    assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
}

fn a_call() -> Timeline {
    let ms = Duration::from_millis;
    let turns = [
        ("Hello, do you still have a free appointment this week?", "Yes, on Wednesday at ten.", 25, 800),
        (
            "I would like to change my appointment to Thursday afternoon.",
            "Thursday at three, then. Shall I send you a message?",
            52,
            1_020,
        ),
        (
            "No, wait.",
            "The practice is in the old town, at the corner of Mill Street and Church Lane.",
            43,
            760,
        ),
        ("Thank you, that is all.", "You are welcome. Until Thursday.", 32, 910),
    ];
    let (mut caller, mut agent) = (vec![0; 8_000 * 25], vec![0; 8_000 * 25]);
    let mut call = Timeline::new("", SampleRate::Hz8000, &[], &[]);
    let mut at = 1_000;
    for (index, (said, answer, heard, wait)) in turns.into_iter().enumerate() {
        let spoken = said.len() as u64 * 60;
        let answered = heard * 60;
        speak(&mut caller, at, spoken);
        speak(&mut agent, at + spoken + wait, answered);
        let end = at + spoken + wait + answered;
        let mut turn = TimelineTurn::new(index as u64 + 1, ms(at)..ms(end));
        turn.caller_said = said.to_owned();
        turn.agent_text = answer.to_owned();
        turn.agent_heard = answer[..(heard as usize).min(answer.len())].to_owned();
        turn.shares.network = ms(30);
        turn.shares.end_of_turn = ms(160);
        turn.shares.stt = ms(90);
        turn.shares.tts = ms(wait - 740);
        turn.shares.responder = ms(430);
        turn.shares.queues = ms(10);
        turn.shares.provider = ms(20);
        call.turns.push(turn);
        at = end + 600;
        if index == 2 {
            call.barge_ins.push(ms(end - 250));
        }
    }
    let filled = Timeline::new("Four turns & two cuts", SampleRate::Hz8000, &caller, &agent);
    let end = filled.duration;
    let lane =
        |name: &str, cut: u64| LinkLane::new(name, vec![ms(200)..ms(cut), ms(cut + 700)..end], vec![ms(cut)]);
    Timeline {
        turns: call.turns,
        barge_ins: call.barge_ins,
        links: vec![
            LinkLane::new("phone", vec![Duration::ZERO..end], Vec::new()),
            lane("STT", 20_500),
            lane("TTS", 22_600),
        ],
        ..filled
    }
}

/// Something with the rhythm of speech.
fn speak(track: &mut [i16], from_ms: u64, length_ms: u64) {
    for at in 0..length_ms * 8 {
        let t = at as f64 / 8_000.0;
        let syllable = (12.0 * t).sin().abs() * (0.6 + 0.4 * (3.1 * t).sin());
        let sample = 9_000.0 * syllable * (900.0 * t).sin();
        if let Some(slot) = track.get_mut((from_ms * 8 + at) as usize) {
            *slot = sample as i16;
        }
    }
}
