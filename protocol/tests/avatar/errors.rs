//! The eleven error texts of the vendor's page: each drawn from the server by what causes it, and
//! read by the client as what it is.

use std::time::Duration;

use voxline_protocol::agenthuman::{
    AvatarCommand, AvatarEvent, AvatarServerCommand, AvatarServerEvent, HostedSession, HostedStatus, LinkEnd,
    Recovery, Revision, VendorError,
};
use voxline_protocol::{Input, Machine, Message, ProtocolError, UtteranceId};

use crate::pair::Pair;

const GOOD_A: &str = r#"{"type":"session.init","config":{"session_id":"sess_1","access_token":"secret",
    "room":{"platform":"daily","url":"https://agenthuman.daily.co/demo","token":"jwt"},
    "video_width":1280,"video_height":720}}"#;

/// What the server of a started session answers to these messages on a fresh link.
fn answers(hosted: HostedSession, texts: &[&str]) -> Vec<String> {
    let mut pair = Pair::of(Revision::A, None);
    let now = pair.now;
    pair.server.handle_command(now, AvatarServerCommand::Host(Box::new(hosted))).unwrap();
    pair.server.handle_input(now, Input::Opened).unwrap();
    for text in texts {
        pair.server.handle_input(now, Input::Text(text)).unwrap();
    }
    let mut answers = Vec::new();
    while let Some(message) = pair.server.poll_transmit() {
        match message {
            Message::Text(text) => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                answers.push(value["error"].as_str().or_else(|| value["type"].as_str()).unwrap().to_owned());
            }
            Message::Close(frame) => answers.push(frame.to_string()),
            Message::Binary(_) => panic!("a binary answer"),
        }
    }
    answers
}

fn hosted() -> HostedSession {
    HostedSession::new("sess_1", "secret", Revision::A)
}

/// A good first message with one thing changed.
fn init_with(from: &str, to: &str) -> String {
    assert!(GOOD_A.contains(from));
    GOOD_A.replace(from, to)
}

/// What the client makes of the server's text after `session.init`.
fn reading(text: &str) -> (Option<Recovery>, Option<ProtocolError>) {
    let mut pair = Pair::of(Revision::A, Some("silent-init"));
    pair.open();
    pair.run(Duration::from_millis(50));
    let answer = format!(r#"{{"type":"error","error":"{text}"}}"#);
    pair.serve(AvatarServerCommand::Send(answer));
    pair.run(Duration::from_secs(1));
    let recovery = pair.events.iter().find_map(|(_, event)| match event {
        AvatarEvent::LinkDown { end: LinkEnd::Refused(error), recovery, .. } => {
            assert_eq!(error, &VendorError::parse(text));
            Some(*recovery)
        }
        _ => None,
    });
    (recovery, pair.failure)
}

fn is_fatal(text: &str) {
    let (recovery, failure) = reading(text);
    assert_eq!(recovery, None);
    let Some(ProtocolError::Peer { code, message }) = failure else { panic!("{failure:?}") };
    assert_eq!(message, text);
    let page = code.entry().expect("every error has its page");
    assert!(!page.retryable && !page.plain.is_empty());
}

#[test]
fn first_message_must_be_session_init() {
    let text = "First message must be session.init";
    for first in [r#"{"type":"agent.interrupt"}"#, r#"{"type":"ping"}"#, "{}"] {
        assert_eq!(answers(hosted(), &[first]), [text, "close 1008"], "{first}");
    }
    assert_eq!(reading(text).0, Some(Recovery::Redial));
}

#[test]
fn invalid_room_platform() {
    let text = "Invalid room platform";
    let zoom = init_with("daily\",", "zoom\",");
    let none = init_with("\"room\"", "\"rooms\"");
    assert_eq!(answers(hosted(), &[&zoom]), [text, "close 1008"]);
    assert_eq!(answers(hosted(), &[&none]), [text, "close 1008"]);
    is_fatal(text);
}

#[test]
fn invalid_video_dimensions() {
    let text = "Invalid video dimensions";
    for bad in ["0", "-1280", "\"wide\"", "12.5"] {
        let init = init_with("1280", bad);
        assert_eq!(answers(hosted(), &[&init]), [text, "close 1008"], "{bad}");
    }
    is_fatal(text);
}

#[test]
fn invalid_aspect_ratio() {
    let text = "Invalid aspect ratio";
    let init = init_with("1280", "1700");
    assert_eq!(answers(hosted(), &[&init]), [text, "close 1008"]);
    is_fatal(text);
}

#[test]
fn invalid_session_id_or_wrong_server() {
    let text = "Invalid session id - server not assigned or session id mismatch";
    let mut elsewhere = hosted();
    elsewhere.is_assigned_here = false;
    assert_eq!(answers(elsewhere, &[GOOD_A]), [text, "close 1008"]);
    assert_eq!(reading(text).0, Some(Recovery::StartAgain));
}

#[test]
fn failed_to_fetch_video_path() {
    let text = "Failed to fetch video path";
    let mut created = hosted();
    created.status = HostedStatus::Created;
    assert_eq!(answers(created, &[GOOD_A]), [text, "close 1008"], "not started");
    let stranger = init_with("secret", "guess");
    assert_eq!(answers(hosted(), &[&stranger]), [text, "close 1008"], "wrong token");
    assert_eq!(reading(text).0, Some(Recovery::StartAgain));
}

#[test]
fn session_not_found() {
    let text = "Session not found";
    let unknown = init_with("sess_1", "sess_9");
    assert_eq!(answers(hosted(), &[&unknown]), [text]);
    let mut ended = hosted();
    ended.status = HostedStatus::Ended;
    assert_eq!(answers(ended, &[GOOD_A]), [text]);
    assert_eq!(reading(text).0, Some(Recovery::Redial));
}

#[test]
fn invalid_json_format() {
    let text = "Invalid JSON format";
    assert_eq!(answers(hosted(), &["{\"type\":"]), [text]);
    is_fatal(text);
}

#[test]
fn no_audio_data_provided() {
    let text = "No audio data provided";
    for speak in [r#"{"type":"agent.speak"}"#, r#"{"type":"agent.speak","audio":""}"#] {
        assert_eq!(answers(hosted(), &[GOOD_A, speak]), ["connection.established", text], "{speak}");
    }
    assert_eq!(after_speaking(text), [VendorError::NoAudioData]);
}

#[test]
fn failed_to_process_audio() {
    for (name, audio, detail) in [
        ("no base64", "?", "invalid base64"),
        ("odd", "AAAA", "odd number of bytes"),
        ("wav", "UklGRgAA", "file header where samples are due"),
    ] {
        let speak = format!(r#"{{"type":"agent.speak","audio":"{audio}"}}"#);
        let text = format!("Failed to process audio: {detail}");
        assert_eq!(answers(hosted(), &[GOOD_A, &speak]), ["connection.established", &text], "{name}");
        assert_eq!(after_speaking(&text), [VendorError::AudioProcessingFailed { detail: detail.to_owned() }]);
    }
}

#[test]
fn unknown_message_type() {
    let ping = r#"{"type":"ping"}"#;
    let text = "Unknown message type: ping";
    assert_eq!(answers(hosted(), &[GOOD_A, ping]), ["connection.established", text]);
    assert_eq!(after_speaking(text), [VendorError::UnknownMessageType { kind: "ping".to_owned() }]);
}

/// The errors for which the client gave a piece of speech up when the server answered it with `text`.
fn after_speaking(text: &str) -> Vec<VendorError> {
    let mut pair = Pair::of(Revision::B, Some("drop-third-confirmation"));
    pair.open();
    pair.run(Duration::from_millis(100));
    // The third piece is the one the server keeps silent about.
    let say = AvatarCommand::Say { utterance: UtteranceId::new(1), audio: vec![0; 15 * 32_000].into() };
    pair.ask(say).unwrap();
    pair.run(Duration::from_millis(100));
    let answer = format!(r#"{{"type":"error","error":"{text}"}}"#);
    pair.serve(AvatarServerCommand::Send(answer));
    pair.run(Duration::from_secs(1));
    assert!(pair.told(|event| matches!(event, AvatarEvent::Speech(_))), "the utterance has its account");
    assert!(pair.failure.is_none() && pair.is_open(), "the session goes on");
    let speeches = |(_, event): &(_, _)| matches!(event, AvatarServerEvent::Speech { .. });
    assert_eq!(pair.server_events.iter().filter(|event| speeches(event)).count(), 3);
    let refused = |(_, event)| match event {
        AvatarEvent::ChunkRefused { error, samples, .. } => {
            assert_eq!(samples, 160_000..240_000);
            Some(error)
        }
        _ => None,
    };
    pair.events.into_iter().filter_map(refused).collect()
}

#[test]
fn the_message_is_checked_before_the_session_and_the_session_before_its_secret() {
    // Everything is wrong at once; one thing after the other is put right.
    let mut session = hosted();
    session.is_assigned_here = false;
    session.status = HostedStatus::Created;
    let all_wrong = init_with("daily\",", "zoom\",").replace("1280", "0").replace("secret", "guess");
    let mut seen = Vec::new();
    let mut ask = |session: &HostedSession, text: &str| {
        seen.push(answers(session.clone(), &[text]).remove(0));
    };
    ask(&session, &all_wrong);
    let room_right = all_wrong.replace("zoom", "daily");
    ask(&session, &room_right);
    let positive = room_right.replace("\"video_width\":0", "\"video_width\":1700");
    ask(&session, &positive);
    let picture_right = positive.replace("1700", "1280");
    ask(&session, &picture_right);
    session.is_assigned_here = true;
    ask(&session, &picture_right);
    session.status = HostedStatus::Started;
    ask(&session, &picture_right);
    ask(&session, &picture_right.replace("guess", "secret"));
    assert_eq!(
        seen,
        [
            "Invalid room platform",
            "Invalid video dimensions",
            "Invalid aspect ratio",
            "Invalid session id - server not assigned or session id mismatch",
            "Failed to fetch video path",
            "Failed to fetch video path",
            "connection.established",
        ]
    );
}
