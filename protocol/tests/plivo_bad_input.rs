//! What a peer, or somebody who pretends to be Plivo, can get wrong on the phone leg: each has its own typed outcome,
//! and the call goes on wherever it can.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed test is a failed test")]

use std::time::Instant;

use http::{HeaderMap, Method};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::plivo::{
    ClearedBy, Digit, NonceGuard, Params, PlivoCommand, PlivoConfig, PlivoEvent, PlivoSigner, PlivoStream,
    PlivoVerifier, SignatureError, UpgradeForm,
};
use voxline_protocol::{CloseFrame, CommandError, Input, Machine, Message, ProtocolError, Secret};

const LINEAR: &str = r#"{"event":"start","start":{"callId":"c","streamId":"s","mediaFormat":{"encoding":"audio/x-l16","sampleRate":8000}}}"#;
const MULAW: &str = r#"{"event":"start","start":{"callId":"c","streamId":"s","mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}}}"#;

struct Call {
    stream: PlivoStream,
    now: Instant,
}

impl Call {
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
    fn dialled() -> Self {
        let now = Instant::now();
        let mut stream = PlivoStream::new(PlivoConfig::default(), now);
        stream.handle_input(now, Input::Opened).unwrap();
        Self { stream, now }
    }

    fn started() -> Self {
        let mut call = Self::dialled();
        assert!(matches!(call.hear(LINEAR)[..], [PlivoEvent::Started(_)]));
        call
    }

    fn hear(&mut self, text: &str) -> Vec<PlivoEvent> {
        self.stream.handle_input(self.now, Input::Text(text)).unwrap();
        std::iter::from_fn(|| self.stream.poll_event()).collect()
    }

    /// Whether a sound message is still taken for what it is.
    fn goes_on(&mut self) -> bool {
        let events = self.hear(r#"{"event":"media","media":{"track":"inbound","payload":"AAA="}}"#);
        matches!(&events[..], [PlivoEvent::Media(media)] if media.payload.len() == 2)
    }
}

fn media(track: &str, payload: &str) -> String {
    format!(r#"{{"event":"media","media":{{"track":"{track}","payload":"{payload}"}}}}"#)
}

/// The words of a message that was told as garbled, and how much of its audio was taken all the same.
fn garbled(events: &[PlivoEvent]) -> (String, usize) {
    let words = events.iter().find_map(|event| {
        if let PlivoEvent::Garbled { error } = event { Some(error.to_string()) } else { None }
    });
    let bytes =
        events.iter().map(|event| if let PlivoEvent::Media(media) = event { media.payload.len() } else { 0 });
    (words.unwrap(), bytes.sum())
}

#[test]
fn audio_that_makes_no_sense_is_told_and_left_out() {
    let long = media("inbound", &"A".repeat(64 * 1024));
    for (name, message, words, bytes) in [
        ("odd length", media("inbound", "AAAA"), "half a sample", 2),
        ("a WAV header", media("inbound", "UklGRiQAAABXQVZFZm10IA=="), "a WAV header", 0),
        ("rubbish in base64", media("inbound", "AA*A"), "not base64", 0),
        ("more than 64 KB", long, "exceeds 65536", 0),
        ("no JSON", "{\"event\":\"media\"".to_owned(), "", 0),
    ] {
        let mut call = Call::started();
        let events = call.hear(&message);
        let (said, taken) = garbled(&events);
        assert!(said.contains(words), "{name}: {said}");
        assert_eq!((taken, call.stream.stats().garbled), (bytes, 1), "{name}");
        assert!(call.goes_on(), "{name}");
    }
}

#[test]
fn base64_without_padding_is_audio_like_any_other() {
    let mut call = Call::started();
    assert!(
        matches!(&call.hear(&media("inbound", "AAA"))[..], [PlivoEvent::Media(media)] if media.payload.len() == 2)
    );
}

#[test]
fn an_unknown_track_is_nobodys_voice() {
    let mut call = Call::started();
    assert!(
        matches!(&call.hear(&media("sideways", "AAA="))[..], [PlivoEvent::Unhandled { kind }] if kind.contains("track"))
    );
    assert!(call.goes_on());
}

#[test]
fn media_before_start_cannot_be_read_and_ends_nothing() {
    let mut call = Call::dialled();
    let events = call.hear(&media("inbound", "AAA="));
    assert!(matches!(
        events[..],
        [PlivoEvent::Unexpected { error: ProtocolError::Unexpected { got: "media", .. } }]
    ));
    assert!(matches!(call.hear(LINEAR)[..], [PlivoEvent::Started(_)]));
    assert!(call.goes_on());
}

#[test]
fn a_second_start_in_another_format_restarts_the_stream() {
    let mut call = Call::started();
    call.stream.handle_command(call.now, PlivoCommand::Play(vec![0; 320].into())).unwrap();
    let events = call.hear(MULAW);
    let cleared = |event: &PlivoEvent| matches!(event, PlivoEvent::Cleared { by: ClearedBy::Restart, .. });
    assert!(events.iter().any(cleared), "old audio cannot be played: {events:?}");
    let started = events
        .iter()
        .find_map(|event| if let PlivoEvent::Started(info) = event { Some(info.format) } else { None });
    assert_eq!(started, Some(AudioFormat::PHONE));
    assert_ne!(AudioFormat::PHONE, AudioFormat::linear16(SampleRate::Hz8000));
}

#[test]
fn a_peers_clock_that_leaps_is_no_hole_in_the_audio() {
    let mut call = Call::started();
    let media = |chunk: u64, at: u64| {
        let payload = "AAAA".repeat(106) + "AAA=";
        format!(
            r#"{{"event":"media","media":{{"track":"inbound","chunk":{chunk},"timestamp":"{at}","payload":"{payload}"}}}}"#
        )
    };
    for (chunk, at) in [(1, 1_000), (2, 1_020), (3, 9_000_000_000), (4, 9_000_000_020), (5, 7), (6, 27)] {
        let events = call.hear(&media(chunk, at));
        assert!(matches!(events[..], [PlivoEvent::Media(_)]), "at {at}: {events:?}");
    }
    let events = call.hear(&media(9, 87));
    assert!(
        matches!(events[..], [PlivoEvent::Gap { messages: Some(2), .. }, PlivoEvent::Media(_)]),
        "{events:?}"
    );
}

#[test]
fn a_peers_count_that_leaps_is_no_hole_in_the_audio() {
    let mut call = Call::started();
    let media = |chunk: u64| {
        format!(r#"{{"event":"media","media":{{"track":"inbound","chunk":{chunk},"payload":"AAA="}}}}"#)
    };
    for chunk in [1, 2, u64::MAX, 1, 2] {
        let events = call.hear(&media(chunk));
        assert!(matches!(events[..], [PlivoEvent::Media(_)]), "{chunk}: {events:?}");
    }
}

#[test]
fn a_message_full_of_keys_is_no_key_press() {
    let mut call = Call::started();
    let keys = |keys: &str| format!(r#"{{"event":"dtmf","dtmf":{{"track":"inbound","digit":"{keys}"}}}}"#);
    assert_eq!(call.hear(&keys("5")), [PlivoEvent::Dtmf(Digit::new('5').unwrap())]);
    let (said, _) = garbled(&call.hear(&keys(&"1".repeat(60_000))));
    assert!(said.contains("no key"), "{said}");
    assert!(call.goes_on());
}

/// Events go to logs and to the application's own queues: what a peer can make of them is bounded.
#[test]
fn of_what_a_peer_says_at_length_the_beginning_is_kept() {
    let long = "x".repeat(60_000);
    for message in [
        format!(r#"{{"event":"{long}"}}"#),
        format!(r#"{{"event":"playFailed","reason":"{long}"}}"#),
        format!(r#"{{"event":"media","media":"{long}"}}"#),
        format!(r#"{{"event":"media","media":{{"payload":"*{long}"}}}}"#),
        format!(r#"{{"event":"start","start":"{long}"}}"#),
    ] {
        let mut call = Call::started();
        let events = call.hear(&message);
        let shown = format!("{events:?}");
        assert!(!events.is_empty() && shown.len() < 2_000, "{} bytes of {}", shown.len(), &shown[..200]);
    }
    let mut call = Call::started();
    let text = format!(r#"{{"event":"error","reason":"{long}"}}"#);
    let error = call.stream.handle_input(call.now, Input::Text(&text)).unwrap_err();
    assert!(error.to_string().len() < 1_000);
}

#[test]
fn what_no_message_can_carry_is_refused() {
    let mut call = Call::started();
    let long = PlivoCommand::Checkpoint("x".repeat(1_025).into());
    let tones = PlivoCommand::SendDtmf(vec![Digit::new('1').unwrap(); 1_025]);
    for (command, field) in [(long, "checkpoint"), (tones, "dtmf")] {
        let error = call.stream.handle_command(call.now, command).unwrap_err();
        assert!(matches!(&error, CommandError::Invalid { field: seen, .. } if *seen == field), "{error:?}");
        assert_eq!(call.stream.poll_transmit(), None);
    }
    call.stream.handle_command(call.now, PlivoCommand::Checkpoint("\u{1}".repeat(1_024).into())).unwrap();
    let Some(Message::Text(text)) = call.stream.poll_transmit() else { panic!("no checkpoint") };
    assert!(text.len() < 64 << 10);
}

/// It used to begin the stream anew, for as long as our close waited for its answer.
#[test]
fn a_link_dialled_after_our_close_is_closed_too() {
    let mut call = Call::started();
    call.stream.handle_command(call.now, PlivoCommand::Close).unwrap();
    assert_eq!(call.stream.poll_transmit(), Some(Message::Close(CloseFrame::normal())));
    call.stream.handle_input(call.now, Input::Opened).unwrap();
    assert!(call.hear(LINEAR).is_empty());
    assert_eq!(call.stream.poll_transmit(), Some(Message::Close(CloseFrame::normal())));
    assert_eq!(call.stream.handle_command(call.now, PlivoCommand::Clear), Err(CommandError::Closed));
    call.stream.handle_input(call.now, Input::Closed(None)).unwrap();
    assert_eq!(call.stream.poll_event(), Some(PlivoEvent::Closed));
    assert!(call.stream.is_finished());
}

#[test]
fn forged_and_replayed_signatures_are_told_apart_from_missing_ones() {
    let secret = |text: &str| Secret::new(text).unwrap();
    let (verifier, url) = (PlivoVerifier::new(secret("token")), "https://voice.example.com/answer");
    let (form, method) = (Params::from_form("CallUUID=c-1"), Method::POST);
    let verify = |headers: &HeaderMap| verifier.verify(&method, url, &form, headers);

    let signed = PlivoSigner::new(secret("token")).sign(&method, url, &form, "1");
    let forged = PlivoSigner::new(secret("guess")).sign(&method, url, &form, "1");
    assert_eq!(verify(&signed), Ok(()));
    assert_eq!(verify(&forged), Err(SignatureError::Mismatch));
    assert!(matches!(verify(&HeaderMap::new()), Err(SignatureError::Missing(_))));

    let mut nonces = NonceGuard::new(10);
    assert_eq!(nonces.admit(&signed), Ok(()));
    assert_eq!(nonces.admit(&signed), Err(SignatureError::Replayed));

    let stream = "wss://voice.example.com/stream";
    let forged = PlivoSigner::new(secret("guess")).sign_upgrade(stream, UpgradeForm::EXPECTED, "2");
    assert_eq!(verifier.verify_upgrade(stream, &forged), Err(SignatureError::Mismatch));
}
