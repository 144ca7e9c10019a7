//! A small machine, the far end of its links, and a connector that does as it is told.
#![allow(dead_code, reason = "each test file uses its part of this")]
#![expect(clippy::unwrap_used, reason = "a test's far end may unwrap as a test may")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use voxline_protocol::{
    Awaited, CloseFrame, CommandError, Input, LinkProof, Machine, Message, ProtocolError,
};
use voxline_session::{Receiver, SessionError, SessionEvent};
use voxline_transport::memory::{self, MemoryTransport};
use voxline_transport::{ConnectStage, Connector, Incoming, TransportError};

/// Numbers what it says, and keeps each line until the far end has acknowledged it.
#[derive(Debug, Default)]
pub(crate) struct Talker {
    unsent: VecDeque<(u32, String)>,
    unacknowledged: VecDeque<(u32, String)>,
    control: VecDeque<String>,
    events: VecDeque<Heard>,
    said: u32,
    closing: bool,
    finished: bool,
    next_beat: Option<Instant>,
    beats: bool,
    proof: Option<LinkProof>,
    stated_wait: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Say {
    Line(String),
    Clear,
    Close,
    /// Always refused.
    Nonsense,
    /// A fault in the machine itself.
    Panic,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Ready,
    /// Perishable.
    Audio(String),
    Note(String),
    Cleared,
    LinkLost,
    Closed,
}

pub(crate) const BEAT: Duration = Duration::from_secs(1);

impl Machine for Talker {
    type Command = Say;
    type Event = Heard;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        match input {
            Input::Opened => {
                while let Some(line) = self.unacknowledged.pop_back() {
                    self.unsent.push_front(line);
                }
                self.control = VecDeque::from(["hello".to_owned()]);
                self.control.extend(self.closing.then(|| "bye".to_owned()));
                self.next_beat = self.beats.then(|| now + BEAT);
                self.proof = None;
            }
            Input::Closed(_) if self.closing && self.unsent.is_empty() && self.unacknowledged.is_empty() => {
                self.finish();
            }
            Input::Closed(_) => {
                self.next_beat = None;
                self.events.push_back(Heard::LinkLost);
            }
            Input::Binary(bytes) => {
                self.proof = Some(LinkProof::Useful);
                self.events.push_back(Heard::Audio(String::from_utf8_lossy(&bytes).into_owned()));
            }
            Input::Text(text) => match text.split_once(' ').unwrap_or((text, "")) {
                ("ready", _) => {
                    self.proof = Some(LinkProof::Ready);
                    self.events.push_back(Heard::Ready);
                }
                ("later", seconds) => self.stated_wait = seconds.parse().ok().map(Duration::from_secs),
                ("ack", number) => {
                    self.unacknowledged.retain(|(line, _)| line.to_string() != number);
                }
                ("note", note) => self.events.push_back(Heard::Note(note.to_owned())),
                ("cleared", _) => self.events.push_back(Heard::Cleared),
                ("bye", _) => self.finish(),
                (_, words) => {
                    self.events.extend((!words.is_empty()).then(|| Heard::Note(words.to_owned())));
                    let limit = Duration::ZERO;
                    return Err(ProtocolError::Timeout { awaited: Awaited::Ready, limit });
                }
            },
        }
        Ok(())
    }

    #[expect(clippy::panic_in_result_fn, reason = "a test wants to see it panic")]
    fn handle_command(&mut self, _now: Instant, command: Say) -> Result<(), CommandError> {
        match command {
            Say::Line(line) => {
                self.said += 1;
                self.unsent.push_back((self.said, line));
            }
            Say::Clear => {
                self.unsent.clear();
                self.control.push_back("clear".into());
            }
            Say::Close => {
                self.closing = true;
                self.control.push_back("bye".into());
            }
            Say::Nonsense => return Err(CommandError::NotStarted),
            Say::Panic => panic!("as the test asked"),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if let Some(at) = self.next_beat.filter(|at| *at <= now) {
            self.control.push_back("beat".into());
            self.next_beat = Some(at + BEAT);
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        if let Some(position) = self.control.iter().position(|text| text != "bye" || self.unsent.is_empty()) {
            return self.control.remove(position).map(Message::Text);
        }
        let (number, line) = self.unsent.pop_front()?;
        let text = format!("{number} {line}");
        self.unacknowledged.push_back((number, line));
        Some(Message::Text(text))
    }

    fn poll_event(&mut self) -> Option<Heard> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next_beat
    }

    fn is_finished(&self) -> bool {
        self.finished && self.events.is_empty()
    }

    fn is_perishable(event: &Heard) -> bool {
        matches!(event, Heard::Audio(_))
    }

    fn link_proof(&self) -> LinkProof {
        self.proof.unwrap_or(LinkProof::Opened)
    }

    fn wants_link(&self) -> bool {
        !self.unsent.is_empty() || !self.unacknowledged.is_empty()
    }

    fn poll_hold(&mut self) -> Option<Duration> {
        self.stated_wait.take()
    }

    fn close_command() -> Option<Say> {
        Some(Say::Close)
    }
}

impl Talker {
    /// One that also sends `beat` every [`BEAT`].
    pub(crate) fn with_beats() -> Self {
        Self { beats: true, ..Self::default() }
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.events.push_back(Heard::Closed);
        }
    }
}

/// What the next dial meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meets {
    /// A link, whose far end goes to the test.
    Link,
    /// Nobody.
    Nobody,
    /// A server that refuses with this status.
    Refusal(u16),
    /// A server that asks to be left alone for so many seconds.
    Later(u64),
    /// A path that swallows everything.
    Silence,
}

/// Follows a plan, then always connects.
#[derive(Debug)]
pub(crate) struct Plan {
    steps: Mutex<VecDeque<Meets>>,
    far_ends: mpsc::UnboundedSender<MemoryTransport>,
    capacity: usize,
    pub(crate) dials: DialLog,
}

impl Plan {
    pub(crate) fn new(steps: &[Meets], capacity: usize) -> (Self, mpsc::UnboundedReceiver<MemoryTransport>) {
        let (far_ends, links) = mpsc::unbounded_channel();
        let steps = Mutex::new(steps.iter().copied().collect());
        (Self { steps, far_ends, capacity, dials: DialLog::default() }, links)
    }
}

/// When each dial began.
#[derive(Debug, Clone, Default)]
pub(crate) struct DialLog(Arc<Mutex<Vec<Instant>>>);

impl DialLog {
    pub(crate) fn times(&self) -> Vec<Instant> {
        self.0.lock().unwrap().clone()
    }

    /// One more begins now.
    pub(crate) fn note(&self) {
        self.0.lock().unwrap().push(tokio::time::Instant::now().into_std());
    }
}

impl Connector for Plan {
    type Transport = MemoryTransport;

    async fn connect(&self) -> Result<MemoryTransport, TransportError> {
        self.dials.note();
        let step = self.steps.lock().unwrap().pop_front().unwrap_or(Meets::Link);
        tokio::time::sleep(Duration::from_millis(20)).await;
        match step {
            Meets::Link => {
                let (near, far) = memory::pair(self.capacity);
                let _ = self.far_ends.send(far);
                Ok(near)
            }
            Meets::Nobody => {
                let limit = Duration::from_millis(20);
                Err(TransportError::Timeout { stage: ConnectStage::Tcp, limit })
            }
            Meets::Refusal(status) => {
                Err(TransportError::Refused { status, retry_after: None, body: "no".into() })
            }
            Meets::Later(seconds) => {
                let retry_after = Some(Duration::from_secs(seconds));
                Err(TransportError::Refused { status: 503, retry_after, body: "later".into() })
            }
            Meets::Silence => std::future::pending().await,
        }
    }
}

/// The far end of one link.
#[derive(Debug)]
pub(crate) struct FarEnd(pub(crate) MemoryTransport);

impl FarEnd {
    /// The next text, or `None` once the link has ended.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        match self.0.next().await {
            Some(Ok(Incoming::Text(text))) => Some(text.as_str().to_owned()),
            Some(Ok(Incoming::Binary(_))) => panic!("talkers send no audio"),
            Some(Ok(Incoming::Closed(_)) | Err(_)) | None => None,
        }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::Text(text.into())).await.unwrap();
    }

    pub(crate) async fn play(&mut self, audio: &str) {
        self.0.send(Message::Binary(audio.to_owned().into())).await.unwrap();
    }

    pub(crate) async fn close(&mut self, code: u16) {
        self.0.send(Message::Close(CloseFrame::new(code, ""))).await.unwrap();
    }
}

/// Accepts a link, greets, and acknowledges lines until the link ends; returns what it heard.
pub(crate) async fn serve(link: MemoryTransport) -> Vec<String> {
    let mut far = FarEnd(link);
    let mut heard = Vec::new();
    while let Some(text) = far.hear().await {
        let answer = match text.split_once(' ').unwrap_or((&text, "")) {
            ("hello", _) => "ready".to_owned(),
            ("clear", _) => "cleared".to_owned(),
            ("bye", _) => "bye".to_owned(),
            ("beat", _) => continue,
            (number, _) => format!("ack {number}"),
        };
        heard.push(text);
        if far.0.send(Message::Text(answer)).await.is_err() {
            break;
        }
    }
    heard
}

/// The next event of the machine, news of the link left out.
pub(crate) async fn heard(receiver: &mut Receiver<Talker>) -> Option<Heard> {
    loop {
        match receiver.next().await? {
            Ok(SessionEvent::Protocol(event)) => return Some(event),
            Ok(_) => {}
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }
}

/// Everything up to the end, and how it ended.
pub(crate) async fn rest(
    mut receiver: Receiver<Talker>,
) -> (Vec<SessionEvent<Heard>>, Result<(), SessionError>) {
    let mut events = Vec::new();
    while let Some(event) = receiver.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => return (events, Err(error)),
        }
    }
    (events, Ok(()))
}

pub(crate) fn line(text: impl Into<String>) -> Say {
    Say::Line(text.into())
}

/// How often to repeat: `light`, or `heavy` where `VOXLINE_HEAVY` is set.
pub(crate) fn heavy(light: u64, heavy: u64) -> u64 {
    if std::env::var_os("VOXLINE_HEAVY").is_some() { heavy } else { light }
}

/// Shown when a test fails, for the next run to start with.
#[expect(clippy::print_stdout, reason = "the test runner shows what a failed test printed")]
pub(crate) fn print_seed(seed: u64) {
    println!("seed {seed}");
}

/// Repeatable numbers: xorshift64*, Vigna 2016.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.below(2); // neighbouring seeds part ways
        random
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}
