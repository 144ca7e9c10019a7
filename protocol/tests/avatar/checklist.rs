//! The vendor's production checklist, as far as a protocol can answer for it: a test for each line.
//! The lines on logging and on target platforms are the session's and the documents'.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use voxline_protocol::agenthuman::{
    AvatarCommand, AvatarEvent, AvatarQuirk, AvatarServerCommand, AvatarServerEvent, InputRate, LinkEnd,
    PcmSpec, Preflight, Recovery, Revision, RoomPlan, SessionState, SpeechEnd,
};
use voxline_protocol::daily::{AvatarIdentity, RoomEvent, RoomMonitor, RoomMonitorConfig, RoomVerdict};
use voxline_protocol::{CATALOGUE, CommandError, Message, UtteranceId};

use crate::pair::{Pair, instant};

const SECOND: usize = 32_000;

fn ready(revision: Revision, quirk: Option<&str>) -> Pair {
    let mut pair = Pair::of(revision, quirk);
    pair.open();
    pair.run(Duration::from_millis(100));
    pair
}

fn say(pair: &mut Pair, id: u64, bytes: usize) -> Result<(), CommandError> {
    pair.ask(AvatarCommand::Say { utterance: UtteranceId::new(id), audio: Bytes::from(vec![0; bytes]) })
}

/// The vendor's error that speech was spared.
fn would_refuse(said: Result<(), CommandError>) -> Option<&'static str> {
    let Err(CommandError::Speech { reason, .. }) = said else { return None };
    matches!(*reason, CommandError::WouldRefuse { .. }).then(|| reason.code().as_str())
}

fn ends(pair: &Pair) -> Vec<SpeechEnd> {
    let end = |(_, event): &(_, AvatarEvent)| match event {
        AvatarEvent::Speech(report) => Some(report.end.clone()),
        _ => None,
    };
    pair.events.iter().filter_map(end).collect()
}

#[test]
fn line_01_every_message_type_and_every_error_is_handled() {
    for quirk in AvatarQuirk::ALL {
        for revision in [Revision::A, Revision::B] {
            let mut pair = ready(revision, Some(quirk.as_str()));
            if pair.failure.is_none() {
                say(&mut pair, 1, SECOND).unwrap();
                let _ = pair.ask(AvatarCommand::Interrupt);
            }
            pair.run(Duration::from_secs(60));
            let is_over = pair.failure.is_some() || !ends(&pair).is_empty();
            assert!(is_over, "{quirk}: speech without an account");
        }
    }
}

#[test]
fn line_02_after_a_cut_the_session_goes_on_where_it_was() {
    let mut pair = ready(Revision::A, None);
    say(&mut pair, 1, 15 * SECOND).unwrap();
    pair.cut();
    assert!(pair.told(|event| matches!(event, AvatarEvent::LinkDown { recovery: Recovery::Redial, .. })));
    pair.run(Duration::from_secs(1));
    pair.open();
    pair.run(Duration::from_secs(1));
    assert_eq!(ends(&pair), [SpeechEnd::Confirmed]);
}

#[test]
fn line_03_audio_is_validated_before_it_is_sent() {
    for (name, spec) in [
        ("stereo", PcmSpec::new(16_000, 2, 16)),
        ("float", PcmSpec::new(16_000, 1, 32).float()),
        ("44.1 kHz", PcmSpec::new(44_100, 1, 16)),
    ] {
        assert!(InputRate::for_source(spec).is_err(), "{name}");
    }
    let mut pair = ready(Revision::A, None);
    for (name, audio) in [("empty", &b""[..]), ("wav", b"RIFF\0\0\0\0"), ("odd", b"\0\0\0")] {
        let audio = Bytes::copy_from_slice(audio);
        let refused = pair.ask(AvatarCommand::Say { utterance: UtteranceId::new(1), audio });
        assert!(would_refuse(refused).is_some(), "{name}");
    }
    let code = would_refuse(say(&mut pair, 1, 101_000_000));
    assert_eq!(code, Some("agenthuman/message-too-large"));
    assert_eq!(pair.sent.len(), 1, "nothing but session.init went out");
    say(&mut pair, 1, SECOND).unwrap();
    let Message::Text(text) = &pair.sent[1].1 else { panic!() };
    assert!(text.ends_with(r#","sample_rate":16000}"#), "the rate is declared");
}

#[test]
fn line_04_the_room_and_the_avatar_in_it_are_watched() {
    let now = instant();
    let config = RoomMonitorConfig::new("demo", AvatarIdentity::named("AI Avatar (AH)"));
    let mut monitor = RoomMonitor::new(config, now);
    let joined =
        r#"{"action":"participant-joined","participant":{"session_id":"s","user_name":"AI Avatar (AH)"}}"#;
    monitor.handle_event(now, &RoomEvent::from_json(joined).unwrap());
    assert!(matches!(monitor.poll_verdict(), Some(RoomVerdict::AvatarJoined { .. })));
}

#[test]
fn line_05_a_session_has_only_the_moves_of_its_life() {
    use SessionState::{
        Closed, Closing, Connecting, Creating, Idle, Initialising, Ready, Speaking, Starting,
    };
    let life = [Creating, Starting, Connecting, Initialising, Ready, Speaking, Ready, Closing, Closed];
    let mut state = Idle;
    for next in life {
        state = state.advance(next).unwrap();
    }
    assert!(Speaking.advance(Closed).is_err(), "a paid session is never just forgotten");
}

#[test]
fn line_06_everything_worth_logging_is_an_event_with_a_number() {
    let mut pair = ready(Revision::A, None);
    say(&mut pair, 1, 5 * SECOND).unwrap();
    pair.run(Duration::from_secs(1));
    let queueing = Duration::from_millis(40);
    assert!(pair.told(|event| matches!(event, AvatarEvent::Chunk(receipt) if receipt.queueing == queueing)));
    assert!(pair.told(|event| matches!(event, AvatarEvent::Established { took, .. } if *took == queueing)));
}

#[test]
fn line_07_slow_networks_change_times_and_nothing_else() {
    for delay_ms in [1, 50, 300, 1500] {
        let mut pair = Pair::of(Revision::A, None);
        pair.delay = Duration::from_millis(delay_ms);
        pair.open();
        say(&mut pair, 1, 15 * SECOND).unwrap();
        pair.run(Duration::from_secs(10));
        assert_eq!(ends(&pair), [SpeechEnd::Confirmed], "{delay_ms} ms each way");
    }
}

#[test]
fn line_08_a_disconnection_is_an_event_that_says_what_to_do() {
    for (quirk, expected) in [("close-mid-stream", Recovery::Redial), ("not-found-once", Recovery::Redial)] {
        let mut pair = ready(Revision::A, Some(quirk));
        say(&mut pair, 1, 15 * SECOND).unwrap();
        pair.run(Duration::from_secs(1));
        let told = |event: &AvatarEvent| {
            matches!(event, AvatarEvent::LinkDown { recovery, end: LinkEnd::Closed(_) | LinkEnd::Refused(_), .. }
                if *recovery == expected)
        };
        assert!(pair.told(told), "{quirk}");
    }
}

#[test]
fn line_09_no_credential_is_shown() {
    let pair = ready(Revision::A, None);
    let shown = format!("{:?}", pair.client);
    assert!(!shown.contains("secret\"") && !shown.contains("jwt"), "{shown}");
}

#[test]
fn line_10_every_wait_has_its_limit() {
    for quirk in ["silent-init", "silent-interrupt", "drop-third-confirmation", "slow-confirmation"] {
        let mut pair = Pair::of(Revision::B, Some(quirk));
        say(&mut pair, 1, 15 * SECOND).unwrap();
        for _ in 0..8 {
            if !pair.is_open() && pair.failure.is_none() {
                pair.open();
            }
            pair.run(Duration::from_secs(20));
        }
        assert_eq!(ends(&pair).len(), 1, "{quirk}: {:?}", pair.failure);
    }
}

#[test]
fn line_11_what_is_played_is_known_within_bounds_for_the_sync_test() {
    let mut pair = ready(Revision::A, None);
    say(&mut pair, 1, 10 * SECOND).unwrap();
    pair.run(Duration::from_secs(3));
    pair.ask(AvatarCommand::Interrupt).unwrap();
    pair.run(Duration::from_secs(1));
    let heard = pair.events.iter().find_map(|(_, event)| match event {
        AvatarEvent::Interrupted { heard, .. } => heard.first().copied(),
        _ => None,
    });
    let heard = heard.unwrap();
    // The server heard the first message 20 ms after it was sent, and the barge-in 20 ms late.
    let truth = Duration::from_millis(2_500);
    assert!(heard.at_least <= truth && truth <= heard.at_most, "{heard:?}");
    assert!(heard.at_most - heard.at_least <= Duration::from_millis(80), "{heard:?}");
}

#[test]
fn line_12_messages_carry_five_seconds_where_they_can_and_one_to_thirty_always() {
    let mut pair = ready(Revision::A, None);
    say(&mut pair, 1, 28 * SECOND).unwrap();
    pair.run(Duration::from_secs(30));
    let lengths: Vec<_> = pair
        .server_events
        .iter()
        .filter_map(|(_, event)| match event {
            AvatarServerEvent::Speech { audio, is_advised_length, .. } => {
                assert!(is_advised_length);
                Some(audio.len() / SECOND)
            }
            _ => None,
        })
        .collect();
    assert_eq!(lengths, [5, 5, 5, 5, 5, 3]);
}

#[test]
fn line_13_no_ping_is_ever_sent() {
    let mut pair = ready(Revision::A, None);
    say(&mut pair, 1, 5 * SECOND).unwrap();
    pair.run(Duration::from_secs(600));
    for (_, message) in &pair.sent {
        let Message::Text(text) = message else { panic!("{message:?}") };
        assert!(!text.contains("ping"));
    }
    assert_eq!(pair.sent.len(), 2, "ten idle minutes are silent");
}

#[test]
fn line_14_every_error_has_plain_words_for_the_user() {
    for entry in CATALOGUE.iter().flat_map(|part| part.iter()) {
        let is_ours = ["agenthuman/", "daily/"].iter().any(|part| entry.code.as_str().starts_with(part));
        let technical = ["`", "session.init", "JSON", "WebSocket", "token", "HTTP"];
        let is_plain = !technical.iter().any(|word| entry.plain.contains(word));
        assert!(!is_ours || (is_plain && entry.plain.ends_with('.')), "{}: {}", entry.code, entry.plain);
    }
}

#[test]
fn line_15_both_revisions_of_the_service_are_spoken() {
    for revision in [Revision::A, Revision::B] {
        let mut pair = ready(revision, None);
        say(&mut pair, 1, 5 * SECOND).unwrap();
        pair.run(Duration::from_secs(1));
        assert_eq!(ends(&pair), [SpeechEnd::Confirmed], "{revision}");
    }
    let mut pair = ready(Revision::B, None);
    pair.serve(AvatarServerCommand::Send(r#"{"type":"webrtc.offer"}"#.to_owned()));
    pair.run(Duration::from_secs(1));
    let code = pair.failure.map(|error| error.code());
    assert_eq!(code.map(|code| code.as_str()), Some("agenthuman/revision-0"), "the retired one is not");
}

#[test]
fn line_16_a_room_token_is_checked_before_it_is_used() {
    let mut plan = Preflight::new(Revision::A, "ah_live_1", "avat_1");
    plan.room = Some(RoomPlan {
        platform: "daily",
        url: "https://agenthuman.daily.co/demo-room",
        token: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZXhwIjoxNzAwMDAzNjAwfQ.c2ln",
    });
    let at = |seconds| plan.check(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(1_700_000_000), []);
    assert_eq!(at(1_700_003_600)[0].code.as_str(), "daily/token-expired");
}
