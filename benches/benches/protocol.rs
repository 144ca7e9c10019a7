//! The machines on the messages of a call: time from Criterion, allocations counted beside it.
//!
//! Each job prints how many allocations and bytes one message costs before it is timed.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "the counts are part of the result")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::agenthuman::{
    AvatarClient, AvatarClientConfig, AvatarCommand, AvatarSession, InputRate,
};
use voxline_protocol::plivo::{
    HeardLedger, PlivoCaller, PlivoCallerConfig, PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream,
};
use voxline_protocol::slng::{SttClient, SttCommand, SttConfig, TtsClient, TtsCommand, TtsConfig};
use voxline_protocol::{Input, Machine, Message, Secret, UtteranceId};

use counting::measure;

#[path = "support/counting.rs"]
mod counting;

criterion_group!(
    machines,
    media_in,
    play_audio_out,
    call_second,
    ledger_update,
    stt_frame_out,
    tts_audio_in,
    avatar_speech_out,
    avatar_confirmation_in
);
criterion_main!(machines);

/// As [`measure`] does, for `work` that something must come before each time, which is neither timed nor counted.
fn measure_after<S>(c: &mut Criterion, name: &str, state: &mut S, before: fn(&mut S), work: fn(&mut S)) {
    before(state);
    work(state);
    before(state);
    let count = counting::count(|| work(state));
    println!("{name}: {} allocations, {} bytes", count.allocations, count.bytes);
    c.bench_function(name, |b| {
        b.iter_custom(|runs| {
            let mut spent = Duration::ZERO;
            for _ in 0..runs {
                before(state);
                let begun = Instant::now();
                work(state);
                spent += begun.elapsed();
            }
            spent
        });
    });
}

fn drain<M: Machine>(machine: &mut M) {
    while let Some(message) = machine.poll_transmit() {
        black_box(message);
    }
    while let Some(event) = machine.poll_event() {
        black_box(event);
    }
}

/// A stream that has started, and the text of one media message for it.
fn started() -> (PlivoStream, Instant, String) {
    let now = Instant::now();
    let mut caller = PlivoCaller::new(PlivoCallerConfig::new("call", "stream"), now);
    let mut stream = PlivoStream::new(PlivoConfig::default(), now);
    caller.handle_input(now, Input::Opened).unwrap();
    stream.handle_input(now, Input::Opened).unwrap();
    let Some(Message::Text(start)) = caller.poll_transmit() else {
        unreachable!("a caller starts with `start`")
    };
    stream.handle_input(now, Input::Text(&start)).unwrap();
    caller.handle_timeout(now + FRAME).unwrap();
    let Some(Message::Text(media)) = caller.poll_transmit() else {
        unreachable!("a caller sends media every 20 ms")
    };
    drain(&mut stream);
    (stream, now, media)
}

fn media_in(c: &mut Criterion) {
    let (mut stream, now, media) = started();
    measure(c, "plivo media message to samples", || {
        stream.handle_input(now, Input::Text(black_box(&media))).unwrap();
        drain(&mut stream);
    });
}

fn play_audio_out(c: &mut Criterion) {
    let (mut stream, mut now, media) = started();
    let frame = Bytes::from(vec![0x55; 160]);
    let mut frames = 0;
    measure(c, "plivo samples to playAudio message", || {
        now += FRAME;
        frames += 1;
        if frames % 50 == 0 {
            // The pulse without which the link counts as dead: a fiftieth of its cost is in the figure.
            stream.handle_input(now, Input::Text(&media)).unwrap();
        }
        stream.handle_command(now, PlivoCommand::Play(frame.clone())).unwrap();
        stream.handle_timeout(now).unwrap();
        drain(&mut stream);
    });
}

/// 50 frames in and 50 out, with a checkpoint each second.
fn call_second(c: &mut Criterion) {
    let (mut stream, mut now, media) = started();
    let frame = Bytes::from(vec![0x55; 160]);
    measure(c, "plivo one second of a call", || {
        for _ in 0..50 {
            now += FRAME;
            stream.handle_input(now, Input::Text(black_box(&media))).unwrap();
            stream.handle_command(now, PlivoCommand::Play(frame.clone())).unwrap();
            stream.handle_timeout(now).unwrap();
            drain(&mut stream);
        }
        stream.handle_command(now, PlivoCommand::Checkpoint("mark".into())).unwrap();
        drain(&mut stream);
    });
}

/// A sentence of two seconds through the heard account: its text, 100 frames, a word time for each five, its mark
/// acknowledged, and what was heard of it taken.
fn ledger_update(c: &mut Criterion) {
    let (mut ledger, mut now, mut utterance) =
        (HeardLedger::new(AudioFormat::PHONE), Instant::now(), UtteranceId::FIRST);
    measure(c, "plivo heard ledger over a sentence of 100 frames", || {
        utterance = utterance.next();
        ledger.text(
            utterance,
            black_box("You can come on Friday at ten, or on Monday at noon, whichever you like."),
        );
        for frame in 0..100_u32 {
            now += FRAME;
            ledger.audio(now, utterance, 160);
            if frame % 5 == 0 {
                ledger.word(utterance, FRAME * frame, (frame / 5 * 3) as usize);
            }
        }
        let mark = ledger.finish(utterance);
        ledger.handle(now, &PlivoEvent::Played(mark));
        black_box(ledger.take().unwrap());
    });
}

fn stt_frame_out(c: &mut Criterion) {
    let mut now = Instant::now();
    let config = SttConfig::new(AudioFormat::linear16(SampleRate::Hz16000)).unwrap();
    let mut client = SttClient::new(config.with_max_held(Duration::from_secs(5)), now);
    client.handle_input(now, Input::Opened).unwrap();
    client.handle_input(now, Input::Text(r#"{"type":"ready","session_id":"s"}"#)).unwrap();
    drain(&mut client);
    let frame = Bytes::from(vec![0x11; 640]);
    measure(c, "slng 20 ms of audio to the recogniser", || {
        now += FRAME;
        client.handle_command(now, SttCommand::Audio(frame.clone())).unwrap();
        client.handle_timeout(now).unwrap();
        drain(&mut client);
    });
}

fn tts_audio_in(c: &mut Criterion) {
    let now = Instant::now();
    let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz24000), "ada");
    let mut client = TtsClient::new(config, now);
    client.handle_input(now, Input::Opened).unwrap();
    client.handle_input(now, Input::Text(r#"{"type":"ready","session_id":"s"}"#)).unwrap();
    let speak = TtsCommand::Speak { utterance: UtteranceId::FIRST, text: "Hello.".to_owned() };
    client.handle_command(now, speak).unwrap();
    client.handle_command(now, TtsCommand::Flush).unwrap();
    drain(&mut client);
    let audio = Bytes::from(vec![0x11; 1_920]);
    measure(c, "slng 40 ms of speech to an event", || {
        client.handle_input(now, Input::Binary(audio.clone())).unwrap();
        drain(&mut client);
    });
}

/// An avatar that says five seconds at 48 kHz at a time: 480,000 bytes, 640,000 characters on the wire.
struct Speaking {
    client: AvatarClient,
    now: Instant,
    utterance: UtteranceId,
    audio: Bytes,
}

impl Speaking {
    fn new() -> Self {
        let session = AvatarSession::revision_b("sess_1", Secret::new("token").unwrap());
        let config = AvatarClientConfig::new(session).with_rate(InputRate::Hz48000);
        let (mut client, now) = (AvatarClient::new(config), Instant::now());
        client.handle_input(now, Input::Opened).unwrap();
        drain(&mut client);
        client.handle_input(now, Input::Text(r#"{"type":"connection.established"}"#)).unwrap();
        drain(&mut client);
        Self { client, now, utterance: UtteranceId::FIRST, audio: Bytes::from(vec![0x11; 480_000]) }
    }

    fn hand_over(&mut self) {
        self.now += Duration::from_secs(10);
        self.utterance = self.utterance.next();
        let say = AvatarCommand::Say { utterance: self.utterance, audio: self.audio.clone() };
        self.client.handle_command(self.now, say).unwrap();
    }

    fn send(&mut self) {
        black_box(self.client.poll_transmit().unwrap());
    }

    fn confirm(&mut self) {
        let confirmed = r#"{"type":"agent.speak.confirmed","audio_samples":80000}"#;
        self.client.handle_input(self.now, Input::Text(black_box(confirmed))).unwrap();
        drain(&mut self.client);
    }
}

fn avatar_speech_out(c: &mut Criterion) {
    let before = |speaking: &mut Speaking| {
        speaking.confirm();
        speaking.hand_over();
    };
    let name = "agenthuman 5 s of 48 kHz speech to a message";
    measure_after(c, name, &mut Speaking::new(), before, Speaking::send);
}

fn avatar_confirmation_in(c: &mut Criterion) {
    let before = |speaking: &mut Speaking| {
        speaking.hand_over();
        speaking.send();
    };
    let name = "agenthuman confirmation to its receipt";
    measure_after(c, name, &mut Speaking::new(), before, Speaking::confirm);
}

/// Plivo's own.
const FRAME: Duration = Duration::from_millis(20);
