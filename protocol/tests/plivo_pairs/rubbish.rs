//! Whatever a peer sends, both machines survive it, ask for no endless waking, and say what was wrong.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use voxline_protocol::plivo::{
    CallWebhook, Params, PlivoCaller, PlivoConfig, PlivoStream, StreamCallback, StreamInfo,
};
use voxline_protocol::{CloseFrame, Input, Machine};

use crate::ear::{caller, millis};
use crate::pair::start;

#[derive(Debug, Clone)]
enum Step {
    Binary(Vec<u8>),
    Close(Option<u16>),
    Open,
    Pass(u64),
    Text(String),
}

const SAMPLES: [&str; 12] = [
    r#"{"event":"start","sequenceNumber":1,"start":{"callId":"c","streamId":"s","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}},"extra_headers":"{X-PH-a: b}"}"#,
    r#"{"event":"start","start":{"callId":"c","streamId":"s","mediaFormat":{"encoding":"audio/x-l16","sampleRate":"16000"}}}"#,
    r#"{"event":"media","sequenceNumber":2,"streamId":"s","media":{"track":"inbound","timestamp":"9","chunk":1,"payload":"//8="}}"#,
    r#"{"event":"dtmf","dtmf":{"digit":"5"}}"#,
    r#"{"event":"playedStream","name":"a~1"}"#,
    r#"{"event":"clearedAudio"}"#,
    r#"{"event":"stop"}"#,
    r#"{"event":"error","reason":"buffer_overflow"}"#,
    r#"{"event":"playAudio","media":{"contentType":"audio/x-l16","sampleRate":8000,"payload":"AAA="}}"#,
    r#"{"event":"checkpoint","streamId":"stream","name":"m"}"#,
    r#"{"event":"clearAudio"}"#,
    r#"{"event":"sendDTMF","dtmf":"12#"}"#,
];

fn text() -> impl Strategy<Value = String> {
    let sample = (0..SAMPLES.len()).prop_map(|index| SAMPLES[index].to_owned());
    // A sample with one character changed or its end cut off.
    let hurt = (0..SAMPLES.len(), any::<prop::sample::Index>(), any::<char>(), any::<bool>()).prop_map(
        |(index, at, with, cut)| {
            let mut characters: Vec<char> = SAMPLES[index].chars().collect();
            let at = at.index(characters.len());
            characters[at] = with;
            if cut {
                characters.truncate(at);
            }
            characters.into_iter().collect()
        },
    );
    prop_oneof![4 => sample, 4 => hurt, 1 => ".{0,80}"]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => text().prop_map(Step::Text),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Binary),
        1 => proptest::option::of(any::<u16>()).prop_map(Step::Close),
        2 => Just(Step::Open),
        2 => (0_u64..4_000).prop_map(Step::Pass),
    ]
}

fn survive(mut machine: impl Machine, steps: &[Step]) {
    let mut now = start();
    for step in steps {
        let ended = match step {
            Step::Binary(bytes) => machine.handle_input(now, Input::Binary(Bytes::from(bytes.clone()))),
            Step::Close(code) => {
                machine.handle_input(now, Input::Closed(code.map(|code| CloseFrame::new(code, ""))))
            }
            Step::Open => machine.handle_input(now, Input::Opened),
            Step::Pass(span) => {
                now += millis(*span);
                machine.handle_timeout(now)
            }
            Step::Text(text) => machine.handle_input(now, Input::Text(text)),
        };
        while machine.poll_transmit().is_some() {}
        while machine.poll_event().is_some() {}
        if ended.is_err() {
            return;
        }
    }
    // However it stands, time alone brings it to rest or to its regular pulse.
    let end = now + Duration::from_secs(60);
    let mut wakes = 0;
    while let Some(at) = machine.poll_timeout().filter(|at| *at <= end) {
        now = now.max(at);
        wakes += 1;
        assert!(wakes < 10_000, "woken without end");
        if machine.handle_timeout(now).is_err() {
            return;
        }
        while machine.poll_transmit().is_some() {}
        while machine.poll_event().is_some() {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("VOXLINE_HEAVY").is_some() { 20_000 } else { 400 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn our_side_survives_anything(steps in proptest::collection::vec(step(), 0..40)) {
        survive(PlivoStream::new(PlivoConfig::default(), start()), &steps);
    }

    #[test]
    fn plivos_side_survives_anything(steps in proptest::collection::vec(step(), 0..40)) {
        survive(PlivoCaller::new(caller(), start()), &steps);
    }

    #[test]
    fn readers_survive_anything(text in text()) {
        let _ = StreamInfo::from_start(&text);
        if let Ok(params) = Params::from_body(&text) {
            let _ = CallWebhook::read(params.clone());
            let _ = StreamCallback::read(params);
        }
    }
}
