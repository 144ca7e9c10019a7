//! One frame in, one frame out, through driver, machine and link: what a call costs beyond its protocol.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use futures::{SinkExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use voxline_protocol::Message;
use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream};
use voxline_session::{Receiver, Sender, Session, SessionEvent};
use voxline_transport::memory::MemoryTransport;
use voxline_transport::{Incoming, memory};

criterion_group!(sessions, frame_over_a_memory_link);
criterion_main!(sessions);

/// The phone's end of a memory link, and a session on the other.
struct Call {
    runtime: Runtime,
    phone: MemoryTransport,
    sender: Sender<PlivoStream>,
    receiver: Receiver<PlivoStream>,
}

impl Call {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (phone, sender, receiver) = runtime.block_on(async {
            let (mut phone, ours) = memory::pair(64);
            let now = tokio::time::Instant::now().into_std();
            let machine = PlivoStream::new(PlivoConfig::default(), now);
            let (sender, mut receiver) = Session::builder(machine).accept(ours).split();
            phone.send(Message::Text(START.to_owned())).await.unwrap();
            receiver.next().await.unwrap().unwrap();
            (phone, sender, receiver)
        });
        Self { runtime, phone, sender, receiver }
    }

    /// A frame of the caller's comes in, goes to the application, and goes out again.
    fn echo_frame(&mut self) {
        let Self { runtime, phone, sender, receiver } = self;
        runtime.block_on(async {
            phone.send(Message::Text(MEDIA.to_owned())).await.unwrap();
            let Some(Ok(SessionEvent::Protocol(PlivoEvent::Media(media)))) = receiver.next().await else {
                unreachable!("the phone sent media")
            };
            // A clear in between, so that pacing holds nothing back: what is timed is work, not waiting.
            sender.interrupt(PlivoCommand::Clear).unwrap();
            sender.send(PlivoCommand::Play(media.payload)).await.unwrap();
            loop {
                match phone.next().await {
                    Some(Ok(Incoming::Text(text))) if text.as_str().contains("playAudio") => break,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => unreachable!("the session holds the link"),
                }
            }
            phone.send(Message::Text(CLEARED.to_owned())).await.unwrap();
            while let Some(Ok(SessionEvent::Protocol(event))) = receiver.next().await {
                if matches!(event, PlivoEvent::ClearSettled { .. }) {
                    break;
                }
                black_box(event);
            }
        });
    }
}

fn frame_over_a_memory_link(c: &mut Criterion) {
    let mut call = Call::start();
    c.bench_function("session one frame in, one frame out, over a memory link", |b| {
        b.iter(|| call.echo_frame());
    });
}

const START: &str = r#"{"event":"start","sequenceNumber":1,"start":{"callId":"c","streamId":"s","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}},"extra_headers":"{}"}"#;
/// 20 ms of µ-law silence.
const MEDIA: &str = concat!(
    r#"{"event":"media","streamId":"s","media":{"track":"inbound","payload":""#,
    "////////////////////////////////////////////////////////////////////////////////////////////////////////////",
    "/////////////////////////////////////////////////////////////////////////////////////////////////////////w==",
    r#""}}"#
);
const CLEARED: &str = r#"{"event":"clearedAudio","streamId":"s"}"#;
