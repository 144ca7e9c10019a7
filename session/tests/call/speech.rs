//! A speech gateway over WebSockets in memory, with voices made of numbers: word 7 is a run of samples of one value, so
//! that whoever hears them knows which were lost, doubled or cut.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use tokio::io::{AsyncReadExt, DuplexStream, copy_bidirectional, duplex};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::slng::{
    Heard, SttServer, SttServerCommand, SttServerConfig, SttServerEvent, TtsServer, TtsServerCommand,
    TtsServerConfig, TtsServerEvent,
};
use voxline_session::{Sender, Session, SessionEvent};
use voxline_transport::{Connector, TransportError, WebSocket, WebSocketConfig};

/// What everybody here hears and speaks, so that nothing is converted on the way.
pub(crate) const FORMAT: AudioFormat = AudioFormat::linear16(SampleRate::Hz16000);
/// How often a speech link is pinged: a dead one is noticed within two of them.
pub(crate) const PING: Duration = Duration::from_secs(5);
/// Samples of one word: 100 ms.
pub(crate) const WORD: usize = 1_600;

/// `first` to `last` as a sentence.
pub(crate) fn sentence(first: u16, last: u16) -> String {
    let words: Vec<_> = (first..=last).map(|word| format!("w{word}")).collect();
    words.join(" ") + "."
}

/// The same as it is heard whole.
pub(crate) fn words_of(first: u16, last: u16) -> Vec<(u16, usize)> {
    (first..=last).map(|word| (word, WORD)).collect()
}

/// The sound of a text.
pub(crate) fn sound(text: &str) -> Vec<u8> {
    let number = |word: &str| word.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    text.split_whitespace().flat_map(|word| run(number(word))).collect()
}

fn run(word: i16) -> impl Iterator<Item = u8> {
    std::iter::repeat_n((word * STEP).to_le_bytes(), WORD).flatten()
}

/// The words in a sound, each with the samples heard of it; words in a row that are the same are one.
pub(crate) fn words(samples: &[i16]) -> Vec<(u16, usize)> {
    let mut words: Vec<(u16, usize)> = Vec::new();
    for sample in samples.iter().filter(|sample| **sample != 0) {
        let word = sample.unsigned_abs() / STEP.unsigned_abs();
        match words.last_mut() {
            Some((last, length)) if *last == word => *length += 1,
            Some(_) | None => words.push((word, 1)),
        }
    }
    words
}

/// The way to one of the gateway's services, which can be broken.
#[derive(Clone)]
pub(crate) struct Way {
    serve: Arc<dyn Fn(DuplexStream) -> AbortHandle + Send + Sync>,
    links: Arc<Mutex<Vec<watch::Sender<Fate>>>>,
    dials: Arc<Mutex<Vec<Instant>>>,
    /// What every dial takes.
    pub(crate) handshake: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// Taken and not passed on, in both directions. Nobody is told.
    Swallowed,
    Cut,
}

impl Way {
    pub(crate) fn to_synthesis() -> Self {
        Self::new(|far| tokio::spawn(synthesise(far)).abort_handle())
    }

    pub(crate) fn to_recognition() -> Self {
        Self::new(|far| tokio::spawn(recognise(far)).abort_handle())
    }

    pub(crate) fn new(serve: impl Fn(DuplexStream) -> AbortHandle + Send + Sync + 'static) -> Self {
        let handshake = Duration::from_millis(50);
        Self { serve: Arc::new(serve), links: Arc::default(), dials: Arc::default(), handshake }
    }

    /// What happens to every link there is; later ones are open.
    pub(crate) fn meets(&self, fate: Fate) {
        for link in self.links.lock().unwrap().iter() {
            link.send_replace(fate);
        }
    }

    /// How often it was dialled.
    pub(crate) fn dials(&self) -> Vec<Instant> {
        self.dials.lock().unwrap().clone()
    }
}

impl Connector for Way {
    type Transport = WebSocket;

    async fn connect(&self) -> Result<WebSocket, TransportError> {
        self.dials.lock().unwrap().push(now());
        sleep(self.handshake).await;
        let (near, here) = duplex(64 * 1024);
        let (there, far) = duplex(64 * 1024);
        let (fate, told) = watch::channel(Fate::Open);
        self.links.lock().unwrap().push(fate);
        let serving = (self.serve)(far);
        tokio::spawn(carry(here, there, told, serving));
        Ok(WebSocket::from_dialled(near, &WebSocketConfig::new().with_ping_interval(Some(PING))).await)
    }
}

/// The path between two ends.
async fn carry(
    mut here: DuplexStream,
    mut there: DuplexStream,
    mut fate: watch::Receiver<Fate>,
    serving: AbortHandle,
) {
    tokio::select! {
        _ = fate.wait_for(|fate| *fate != Fate::Open) => {}
        _ = copy_bidirectional(&mut here, &mut there) => {}
    }
    if *fate.borrow() == Fate::Swallowed {
        let (mut from_here, mut from_there) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                read = here.read(&mut from_here) => if !matches!(read, Ok(1..)) { break },
                read = there.read(&mut from_there) => if !matches!(read, Ok(1..)) { break },
                _ = fate.wait_for(|fate| *fate == Fate::Cut) => break,
            }
        }
    }
    serving.abort();
}

/// Speaks five times as fast as it is listened to, and falls silent when it is cleared.
async fn synthesise(far: DuplexStream) {
    let link = WebSocket::from_upgraded(far, &WebSocketConfig::new()).await;
    let machine = TtsServer::new(TtsServerConfig::default(), now());
    let (mut sender, mut receiver) = Session::builder(machine).accept(link).split();
    let (mut text, mut speaking) = (String::new(), None);
    loop {
        tokio::select! {
            biased;
            event = receiver.next() => match event {
                Some(Ok(SessionEvent::Protocol(TtsServerEvent::Synthesise { turn, text: more, flush }))) => {
                    text.push_str(&more);
                    if flush {
                        let sound = Bytes::from(sound(&std::mem::take(&mut text)));
                        speaking = Some((turn, sound));
                    }
                }
                Some(Ok(SessionEvent::Protocol(TtsServerEvent::Cleared { .. }))) => {
                    (text, speaking) = (String::new(), None);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            () = sleep(Duration::from_millis(20)), if speaking.is_some() => {
                speaking = say_more(&mut sender, speaking.take()).await;
            }
        }
    }
}

async fn say_more(sender: &mut Sender<TtsServer>, speaking: Option<(u64, Bytes)>) -> Option<(u64, Bytes)> {
    let (turn, mut sound) = speaking?;
    let audio = sound.split_to(sound.len().min(PIECE));
    sender.send(TtsServerCommand::Audio { turn, audio }).await.ok()?;
    if sound.is_empty() {
        sender.send(TtsServerCommand::End { turn }).await.ok()?;
        return None;
    }
    Some((turn, sound))
}

/// Says what it heard when it is asked.
async fn recognise(far: DuplexStream) {
    let link = WebSocket::from_upgraded(far, &WebSocketConfig::new()).await;
    let machine = SttServer::new(SttServerConfig::default(), now());
    let (mut sender, mut receiver) = Session::builder(machine).accept(link).split();
    let (mut heard, mut from) = (Vec::new(), 0);
    while let Some(Ok(event)) = receiver.next().await {
        let SessionEvent::Protocol(event) = event else { continue };
        if let SttServerEvent::Audio(audio) = &event {
            heard.extend(audio.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])));
            // An end of speech that nobody asks for.
            if heard.len() < QUIET || heard.iter().rev().take(QUIET).any(|sample| *sample != 0) {
                continue;
            }
            if words(&heard).is_empty() {
                from += heard.len() as u64;
                heard.clear();
                continue;
            }
        } else if !matches!(event, SttServerEvent::Finalize | SttServerEvent::Close) {
            continue;
        }
        let text: Vec<_> = words(&heard).iter().map(word).collect();
        let to = from + heard.len() as u64;
        let _ = sender.send(SttServerCommand::Final(Heard::new(text.join(" "), from..to))).await;
        (heard, from) = (Vec::new(), to);
    }
}

fn word((word, samples): &(u16, usize)) -> String {
    if *samples == WORD { format!("w{word}") } else { format!("w{word}:{samples}") }
}

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Between the values of neighbouring words: the last of 500 is half of what a sample can be.
const STEP: i16 = 32;
/// Bytes of one message of speech: 100 ms.
const PIECE: usize = 3_200;
/// Samples of silence that end what is said: 600 ms.
const QUIET: usize = 9_600;
