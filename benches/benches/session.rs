//! What a call costs beyond its protocol: frames through driver, machine and link, and a warm session for its speech.
//!
//! Each job prints how many allocations and bytes one run costs before it is timed.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use futures::{SinkExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::Message;
use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream};
use voxline_protocol::slng::{TtsClient, TtsConfig, TtsEvent, TtsServer, TtsServerConfig};
use voxline_session::{Pool, PoolConfig, Receiver, Sender, Session, SessionEvent};
use voxline_transport::memory::{MemoryConnector, MemoryTransport, Network};
use voxline_transport::{Acceptor, Endpoint, Exchange, Incoming, memory};

use counting::measure;

#[path = "support/counting.rs"]
mod counting;

criterion_group!(sessions, frame_over_a_memory_link, acquire_of_a_warm_lease);
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
            let machine = PlivoStream::new(PlivoConfig::default(), now());
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
            let media = loop {
                match receiver.next().await {
                    Some(Ok(SessionEvent::Protocol(PlivoEvent::Media(media)))) => break media,
                    // A busy machine's pauses are told of as gaps.
                    Some(Ok(event)) => drop(black_box(event)),
                    Some(Err(_)) | None => unreachable!("the phone holds the link"),
                }
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
    measure(c, "session one frame in, one frame out, over a memory link", || call.echo_frame());
}

/// A pool of speech sessions, and the gateway in memory that they are linked to.
struct Warm {
    runtime: Runtime,
    pool: Pool<TtsClient, MemoryConnector>,
    links: Arc<AtomicUsize>,
}

impl Warm {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let links = Arc::new(AtomicUsize::new(0));
        let pool = runtime.block_on(async {
            let network = Network::new(64);
            let listener = network.listen("gateway").unwrap();
            tokio::spawn(serve(listener, Arc::clone(&links)));
            let endpoint =
                Endpoint::parse("ws://gateway/v1/bridges/unmute/tts/slng/deepgram/aura:2-en").unwrap();
            let machine = || {
                let format = AudioFormat::linear16(SampleRate::Hz24000);
                TtsClient::new(TtsConfig::new(format, "ada"), now())
            };
            let is_ready = |event: &TtsEvent| matches!(event, TtsEvent::Ready { .. });
            let pool = Pool::new(network.connector(endpoint), machine, PoolConfig::new(1, is_ready));
            // The first one has its handshake to pay.
            pool.acquire().await.unwrap().give_back();
            pool
        });
        Self { runtime, pool, links }
    }

    /// Takes a session that is ready to speak, and brings it back.
    fn borrow(&self) {
        self.runtime.block_on(async { black_box(self.pool.acquire().await.unwrap()).give_back() });
    }
}

/// The gateway's side of every link.
async fn serve(mut listener: impl Acceptor, links: Arc<AtomicUsize>) {
    while let Some(exchange) = listener.accept().await {
        links.fetch_add(1, Ordering::Relaxed);
        let link = exchange.upgrade().await.unwrap();
        let machine = TtsServer::new(TtsServerConfig::default(), now());
        let (sender, mut receiver) = Session::builder(machine).accept(link).split();
        tokio::spawn(async move {
            while receiver.next().await.is_some() {}
            drop(sender);
        });
    }
}

fn acquire_of_a_warm_lease(c: &mut Criterion) {
    let warm = Warm::start();
    measure(c, "session acquire of a warm lease", || warm.borrow());
    assert_eq!(warm.links.load(Ordering::Relaxed), 1, "a warm lease costs no handshake");
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
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
