//! What cannot be sent to SLNG is refused where it is given: by a typed error that names the field, the value seen and
//! the remedy. Nothing that was queued before is lost by it, and no key is ever in it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test needs one instant to count from")]

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::slng::{
    ConfigError, Route, Service, SttClient, SttCommand, SttConfig, SttEvent, TtsClient, TtsCommand,
    TtsConfig, TtsEvent, codes,
};
use voxline_protocol::{
    CommandError, Input, Machine, Message, ProtocolError, Secret, SecretError, UtteranceId,
};

const KEY: &str = "slng_cu_canary";
const FORMAT: AudioFormat = AudioFormat::linear16(SampleRate::Hz16000);

#[test]
fn text_over_the_models_limit_names_its_length_and_costs_nothing_queued() {
    let long = "word ".repeat(21);
    let error = refused_between_two_texts(&long);
    let CommandError::Invalid { field, seen, remedy } = &error else { panic!("{error:?}") };
    assert_eq!((*field, seen.as_str()), ("text", "105 characters long"));
    assert!(remedy.contains("split it") && remedy.contains("max_text"), "{remedy}");
    assert!(!error.to_string().contains("word"), "the text itself is the caller's own");
}

#[test]
fn a_limit_counts_characters_and_not_bytes() {
    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada").with_max_text(100), Instant::now());
    let text = "ł".repeat(100);
    let speak = TtsCommand::Speak { utterance: UtteranceId::FIRST, text };
    assert_eq!(tts.handle_command(Instant::now(), speak), Ok(()));
}

#[test]
fn empty_text_is_refused_and_costs_nothing_queued() {
    let error = refused_between_two_texts("");
    let CommandError::Invalid { field, seen, remedy } = &error else { panic!("{error:?}") };
    assert_eq!((*field, seen.as_str(), *remedy), ("text", "empty", "give at least one character"));
}

/// What is said of `text` by a session that holds a text before it, and is given one after it. Both are spoken.
fn refused_between_two_texts(text: &str) -> CommandError {
    let now = Instant::now();
    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada").with_max_text(100), now);
    let speak = |text: &str| TtsCommand::Speak { utterance: UtteranceId::FIRST, text: text.to_owned() };
    tts.handle_command(now, speak("One, ")).unwrap();
    let error = tts.handle_command(now, speak(text)).unwrap_err();
    tts.handle_command(now, speak("two.")).unwrap();
    tts.handle_command(now, TtsCommand::Flush).unwrap();
    open(&mut tts, now);
    let expected = r#"{"type":"text","text":"One, two.","flush":true}"#;
    assert_eq!(tts.poll_transmit(), Some(Message::Text(expected.to_owned())));
    error
}

fn open<M: Machine>(machine: &mut M, now: Instant) {
    machine.handle_input(now, Input::Opened).unwrap();
    assert!(matches!(machine.poll_transmit(), Some(Message::Text(init)) if init.contains("init")));
    machine.handle_input(now, Input::Text(r#"{"type":"ready","session_id":"s"}"#)).unwrap();
}

/// Text that is no UTF-8 never reaches a machine: it ends the link. What the machine held goes out on the next one.
#[test]
fn a_link_that_ended_by_bytes_that_are_no_text_costs_nothing_queued() {
    let now = Instant::now();
    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada"), now);
    open(&mut tts, now);
    let speak = TtsCommand::Speak { utterance: UtteranceId::FIRST, text: "One.".to_owned() };
    tts.handle_command(now, speak).unwrap();
    tts.handle_command(now, TtsCommand::Flush).unwrap();
    let sent = tts.poll_transmit();
    assert!(sent.is_some());
    tts.handle_input(now, Input::Closed(None)).unwrap();
    open(&mut tts, now);
    assert_eq!(tts.poll_transmit(), sent, "spoken again, for nothing of it was heard");

    let mut stt = SttClient::new(SttConfig::new(FORMAT).unwrap(), now);
    open(&mut stt, now);
    let audio = Bytes::from(vec![7; 3_200]);
    stt.handle_command(now, SttCommand::Audio(audio.clone())).unwrap();
    assert_eq!(stt.poll_transmit(), Some(Message::Binary(audio.clone())));
    stt.handle_input(now, Input::Closed(None)).unwrap();
    open(&mut stt, now);
    assert_eq!(stt.poll_transmit(), Some(Message::Binary(audio)), "heard again, for no final covers it");
}

#[test]
fn an_encoding_the_recogniser_does_not_take_is_refused_before_a_link_is_opened() {
    for format in [AudioFormat::PHONE, AudioFormat::new(voxline_audio::Encoding::ALaw, SampleRate::Hz8000)] {
        let error = SttConfig::new(format).unwrap_err();
        assert_eq!((error.field, &error.seen), ("encoding", &format.encoding.to_string()));
        assert!(error.remedy.contains("16-bit linear"), "{error}");
        assert_eq!(error.code(), codes::CONFIG);
    }
}

#[test]
fn a_rate_nobody_makes_is_refused_with_the_rates_there_are() {
    let error = SampleRate::try_from(11_025).unwrap_err().to_string();
    assert!(error.contains("11025") && error.contains("8000") && error.contains("48000"), "{error}");
}

/// What the gateway alone can refuse ends the session once, with its own words and the page that tells what to do.
#[test]
fn an_encoding_or_rate_the_gateway_refuses_ends_the_session_with_its_words() {
    let now = Instant::now();
    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada"), now);
    tts.handle_input(now, Input::Opened).unwrap();
    let refusal = r#"{"type":"error","code":"config_error","message":"sample_rate 16000 is not supported"}"#;
    let error = tts.handle_input(now, Input::Text(refusal)).unwrap_err();
    let ProtocolError::Peer { code, message } = &error else { panic!("{error:?}") };
    assert_eq!((*code, message.as_str()), (codes::CONFIG, "sample_rate 16000 is not supported"));
    let page = code.entry().unwrap();
    assert!(!page.retryable && page.remedy.contains("encoding") && page.remedy.contains("rate"), "{page:?}");
}

#[test]
fn a_partial_sample_is_refused_and_costs_no_audio_held() {
    let now = Instant::now();
    let mut stt = SttClient::new(SttConfig::new(FORMAT).unwrap(), now);
    let audio = Bytes::from(vec![7; 1_600]);
    stt.handle_command(now, SttCommand::Audio(audio.clone())).unwrap();
    let error = stt.handle_command(now, SttCommand::Audio(Bytes::from_static(&[1, 2, 3]))).unwrap_err();
    assert_eq!(error, CommandError::PartialSample { got: 3 });
    stt.handle_command(now, SttCommand::Audio(audio)).unwrap();
    open(&mut stt, now);
    assert_eq!(stt.poll_transmit(), Some(Message::Binary(vec![7; 3_200].into())));
}

#[test]
fn a_key_that_cannot_travel_is_refused_where_it_is_given_and_never_shown() {
    for (name, key, number) in [
        ("newline", format!("{KEY}\n{KEY}"), 0x0a),
        ("zero-width space", format!("{KEY}\u{200b}"), 0x200b),
        ("no-break space", format!("{KEY}\u{a0}{KEY}"), 0xa0),
        ("quotes of a web page", format!("{KEY}\u{201d}"), 0x201d),
    ] {
        let error = Secret::new(&key).unwrap_err();
        assert_eq!(error, SecretError::Character { at: KEY.len(), number }, "{name}");
        let text = error.to_string();
        assert!(text.starts_with("key ") && text.contains("copy it again"), "{name}: {text}");
        assert!(text.contains(&format!("U+{number:04X}")), "{name}: {text}");
        assert!(!text.contains("canary") && !format!("{error:?}").contains("canary"), "{name}");
    }
    assert_eq!(Secret::new(&format!("  {KEY}\r\n")).unwrap().expose(), KEY, "what is around it is trimmed");
    assert_eq!(Secret::new(" \n").unwrap_err(), SecretError::Empty);
}

#[test]
fn a_base_url_of_another_scheme_is_refused_by_name_and_shows_no_key() {
    let route = |base: &str| Route::new(base, Service::Tts, "slng/a/b", Secret::new(KEY).unwrap());
    for (base, shown) in [
        ("ftp://host", "`ftp://host`"),
        ("api.slng.ai", "`api.slng.ai`"),
        ("wss://", "`wss://`"),
        ("wss://host?token=slng_cu_canary", "`wss://host?…`"),
        ("wss://user:slng_cu_canary@host/", "`wss://…@host/`"),
        ("wss://host#slng_cu_canary", "`wss://host#…`"),
    ] {
        let error: ConfigError = route(base).unwrap_err();
        assert_eq!((error.field, error.seen.as_str()), ("base URL", shown), "{base}");
        assert!(error.remedy.contains("wss://"), "{base}: {error}");
        assert!(!error.to_string().contains("canary"), "{base}: {error}");
        assert!(error.source().is_none(), "{base}: the whole story is in one line");
    }
}

#[test]
fn both_of_the_gateways_names_for_a_link_are_told() {
    let now = Instant::now();
    let ready = r#"{"type":"ready","session_id":"s-1","slng_request_id":"r-1"}"#;
    let (session_id, request_id) = (Some("s-1".to_owned()), Some("r-1".to_owned()));

    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada"), now);
    tts.handle_input(now, Input::Opened).unwrap();
    tts.handle_input(now, Input::Text(ready)).unwrap();
    let told = TtsEvent::Ready { session_id: session_id.clone(), request_id: request_id.clone() };
    assert_eq!(tts.poll_event(), Some(told));

    let mut stt = SttClient::new(SttConfig::new(FORMAT).unwrap(), now);
    stt.handle_input(now, Input::Opened).unwrap();
    stt.handle_input(now, Input::Text(ready)).unwrap();
    assert_eq!(stt.poll_event(), Some(SttEvent::Ready { session_id, request_id, backlog: Duration::ZERO }));
}

/// The providers' own routes have no `ready`: Deepgram's greets with `Metadata`. The gateway's own `metadata` is none.
#[test]
fn a_providers_greeting_is_as_good_as_ready() {
    let now = Instant::now();
    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada"), now);
    tts.handle_input(now, Input::Opened).unwrap();
    tts.handle_input(now, Input::Text(r#"{"type":"metadata","request_id":"r-1"}"#)).unwrap();
    assert_eq!(tts.poll_event(), None);
    tts.handle_input(now, Input::Text(r#"{"type":"Metadata","request_id":"r-1"}"#)).unwrap();
    assert!(matches!(tts.poll_event(), Some(TtsEvent::Ready { request_id: Some(id), .. }) if id == "r-1"));
}

#[test]
fn after_a_final_error_nothing_is_sent_and_nothing_awaited() {
    let now = Instant::now();
    let refused = Input::Text(r#"{"type":"error","code":"auth_error","message":"no"}"#);

    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada"), now);
    open(&mut tts, now);
    let speak = TtsCommand::Speak { utterance: UtteranceId::FIRST, text: "One.".to_owned() };
    tts.handle_command(now, speak).unwrap();
    tts.handle_command(now, TtsCommand::Flush).unwrap();
    assert!(tts.poll_transmit().is_some());
    tts.handle_input(now, refused.clone()).unwrap_err();
    assert_eq!((tts.poll_timeout(), tts.wants_link()), (None, false));
    tts.handle_timeout(now + Duration::from_secs(3_600)).unwrap();
    tts.handle_input(now, Input::Opened).unwrap();
    assert_eq!(tts.poll_transmit(), None);

    let mut stt = SttClient::new(SttConfig::new(FORMAT).unwrap(), now);
    stt.handle_input(now, Input::Opened).unwrap();
    stt.handle_input(now, refused).unwrap_err();
    assert_eq!(stt.poll_timeout(), None);
    assert_eq!(stt.poll_transmit(), None, "`init` has nowhere to go");
}

/// A clock that counts from somewhere else would have all audio taken for recognised, and none of it replayed.
#[test]
fn a_final_that_ends_after_all_audio_covers_no_more_than_it_can() {
    let now = Instant::now();
    let mut stt = SttClient::new(SttConfig::new(FORMAT).unwrap(), now);
    stt.handle_input(now, Input::Opened).unwrap();
    stt.handle_input(now, Input::Text(r#"{"type":"ready"}"#)).unwrap();
    stt.handle_command(now, SttCommand::Audio(vec![0; 3_200].into())).unwrap();
    while stt.poll_transmit().is_some() {}
    let said = r#"{"type":"Results","is_final":true,"start":0,"duration":1700000000,
        "channel":{"alternatives":[{"transcript":"hi"}]}}"#;
    stt.handle_input(now, Input::Text(said)).unwrap();
    let events: Vec<_> = std::iter::from_fn(|| stt.poll_event()).collect();
    let text = events
        .iter()
        .find_map(|event| if let SttEvent::Final(said) = event { Some(&said.text) } else { None });
    assert_eq!(text.map(String::as_str), Some("hi"));
    assert_eq!(stt.covered(), 0, "nothing was sent long enough ago");
}
