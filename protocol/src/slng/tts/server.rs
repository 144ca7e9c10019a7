//! The gateway's side of a speech session: what a simulator is made of.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use voxline_audio::{AudioFormat, Encoding, SampleRate};

use crate::slng::wire::{Reply, Request, RequestInit, encode, read_request, write_error};
use crate::slng::{Quirks, SlngQuirk};
use crate::{
    CloseFrame, CommandError, DecodeError, Input, Machine, Message, ProtocolError, TimerKind, Timers,
};

/// One link of the gateway's speech route. The application makes the audio; this machine asks for it,
/// frames it, ends each utterance exactly once, and misbehaves as its quirks say.
///
/// ```
/// use std::time::Instant;
/// use voxline_protocol::slng::{TtsServer, TtsServerCommand, TtsServerConfig, TtsServerEvent};
/// use voxline_protocol::{Input, Machine, Message};
///
/// let now = Instant::now();
/// let mut server = TtsServer::new(TtsServerConfig::default(), now);
/// server.handle_input(now, Input::Opened)?;
/// server.handle_input(now, Input::Text(r#"{"type":"init","voice":"ada"}"#))?;
/// server.handle_input(now, Input::Text(r#"{"type":"text","text":"Hi.","flush":true}"#))?;
/// assert!(matches!(server.poll_event(), Some(TtsServerEvent::Started(_))));
/// let Some(TtsServerEvent::Synthesise { turn, .. }) = server.poll_event() else { panic!() };
/// server.handle_command(now, TtsServerCommand::Audio { turn, audio: vec![0; 1920].into() })?;
/// server.handle_command(now, TtsServerCommand::End { turn })?;
/// let ready = server.poll_transmit();
/// assert!(matches!(server.poll_transmit(), Some(Message::Binary(audio)) if audio.len() == 1920));
/// assert!(matches!(server.poll_transmit(), Some(Message::Text(end)) if end.contains("audio_end")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TtsServer {
    config: TtsServerConfig,
    now: Instant,
    state: State,
    format: AudioFormat,
    timers: Timers<Timer>,
    outbox: VecDeque<Message>,
    events: VecDeque<TtsServerEvent>,
    turns: VecDeque<Turn>,
    next_turn: u64,
    sequence: u64,
    /// The last audio sent: what the `LateAudio` quirk sends again after `cleared`.
    last_audio: Bytes,
    /// Whether a quirk that strikes once has struck.
    struck: bool,
}

/// How the simulated gateway behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TtsServerConfig {
    /// Its faults and dialects; none by default.
    pub quirks: Quirks,
    /// The name it gives the link. Default `sim-tts`.
    pub session_id: String,
    /// How long one audio message lasts, 20 to 100 ms. Default 40 ms.
    pub chunk: Duration,
    /// Audio held for the link, in bytes. Default 32 MiB.
    pub max_queued: usize,
}

impl TtsServerConfig {
    /// Misbehaves as `quirks` say.
    #[must_use]
    pub const fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Calls the link `session_id`.
    #[must_use]
    pub fn with_session_id(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = session_id.into();
        self
    }

    /// Sends audio in messages of `chunk`.
    #[must_use]
    pub const fn with_chunk(mut self, chunk: Duration) -> Self {
        self.chunk = chunk;
        self
    }
}

impl Default for TtsServerConfig {
    fn default() -> Self {
        Self {
            quirks: Quirks::NONE,
            session_id: "sim-tts".to_owned(),
            chunk: Duration::from_millis(40),
            max_queued: 32 * 1024 * 1024,
        }
    }
}

/// What the client asked for in `init`.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct TtsInit {
    /// The format of all audio on this link.
    pub format: AudioFormat,
    /// The voice.
    pub voice: Option<String>,
    /// The language.
    pub language: Option<String>,
    /// The speaking rate.
    pub speed: Option<f32>,
}

/// What the application of a simulated gateway can do. Turns are numbered from 0 on each link.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TtsServerCommand {
    /// More audio of a turn, whole samples. Audio of a cleared turn is dropped in silence.
    Audio {
        /// Whose audio it is.
        turn: u64,
        /// The samples in the link's format.
        audio: Bytes,
    },
    /// Ends the link.
    Close(CloseFrame),
    /// A turn has all its audio; to be said after the turn's flush.
    End {
        /// Which turn.
        turn: u64,
    },
    /// Reports an error and, unless a quirk forbids it, closes the link.
    Error {
        /// The gateway's name for it, such as `provider_error`.
        code: String,
        /// Its words.
        message: String,
    },
}

/// What the application of a simulated gateway is told.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum TtsServerEvent {
    /// Turns numbered below `before` are void: stop making their audio.
    Cleared {
        /// The first turn that is not.
        before: u64,
    },
    /// The link is over. Always the last event.
    Closed,
    /// A message that did not parse.
    Garbled {
        /// What was wrong with it.
        error: DecodeError,
    },
    /// The client's `init`.
    Started(TtsInit),
    /// Text to be spoken in `turn`. The turn is complete with the event whose `flush` is set.
    Synthesise {
        /// Which turn.
        turn: u64,
        /// More of its text, possibly none.
        text: String,
        /// Whether this was all.
        flush: bool,
    },
    /// A message type a gateway does not know.
    Unhandled {
        /// The type's name.
        kind: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but `init` is taken.
    New,
    Open,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The `AgeLimit` quirk's limit: an error, then the end.
    Age,
    /// The `IdleLimit` quirk's limit: an error, then the end.
    Idle,
    /// The `LateAudio` quirk's old audio leaves.
    LateAudio,
    /// The `LateReady` quirk's answer to `init` leaves.
    Ready,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Age, Self::Idle, Self::LateAudio, Self::Ready];

    fn index(self) -> usize {
        self as usize
    }
}

#[derive(Debug)]
struct Turn {
    id: u64,
    has_text: bool,
    flushed: bool,
    ended: bool,
    begun: bool,
    audio: BytesMut,
    sent: u64,
}

impl TtsServer {
    /// A link's machine; each accepted link gets its own.
    #[must_use]
    pub fn new(config: TtsServerConfig, now: Instant) -> Self {
        Self {
            config,
            now,
            state: State::New,
            format: AudioFormat::linear16(SampleRate::Hz24000),
            timers: Timers::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            turns: VecDeque::new(),
            next_turn: 0,
            sequence: 0,
            last_audio: Bytes::new(),
            struck: false,
        }
    }

    /// The format that `init` asked for.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    fn has(&self, quirk: SlngQuirk) -> bool {
        self.config.quirks.contains(quirk)
    }

    fn on_request(&mut self, request: Request) {
        if self.has(SlngQuirk::IdleLimit) {
            self.timers.set(Timer::Idle, self.now + IDLE_LIMIT);
        }
        match (self.state, request) {
            (State::Over, _) => {}
            (State::New, Request::Init(init)) => self.on_init(*init),
            (State::New, Request::Close) | (State::Open, Request::Close) => self.close(CloseFrame::normal()),
            (State::New, _) => self.complain("config_error", "the first message must be `init`"),
            (State::Open, Request::Init(_)) => self.complain("config_error", "`init` came twice"),
            (State::Open, _) if self.has(SlngQuirk::Dead) => {}
            (State::Open, Request::Clear) => self.on_clear(),
            (State::Open, Request::Flush) if self.has(SlngQuirk::IgnoreStandaloneFlush) => {}
            (State::Open, Request::Flush) => self.on_flush(),
            (State::Open, Request::Text { text, flush }) => self.on_text(text, flush),
            (State::Open, Request::Keepalive) => {}
            (State::Open, Request::Audio(_)) => self.unhandled("audio"),
            (State::Open, Request::Finalize) => self.unhandled("finalize"),
            (State::Open, Request::Unhandled(kind)) => self.unhandled(&kind),
        }
    }

    fn unhandled(&mut self, kind: &str) {
        self.events.push_back(TtsServerEvent::Unhandled { kind: kind.to_owned() });
    }

    fn on_init(&mut self, init: RequestInit) {
        let Some(format) = read_format(&init) else {
            return self.fail("config_error", "unsupported `encoding` or `sample_rate`");
        };
        if self.has(SlngQuirk::AuthFrame) {
            return self.fail("auth_error", "invalid API key");
        }
        if self.has(SlngQuirk::RateLimit) {
            return self.fail("rate_limit_exceeded", "too many concurrent connections");
        }
        self.state = State::Open;
        self.format = format;
        let RequestInit { voice, language, speed, .. } = init;
        self.events.push_back(TtsServerEvent::Started(TtsInit { format, voice, language, speed }));
        if self.has(SlngQuirk::LateReady) {
            self.timers.set(Timer::Ready, self.now + LATE_READY);
        } else {
            self.send_ready();
        }
    }

    fn send_ready(&mut self) {
        if !self.has(SlngQuirk::NoReady) {
            let session_id = &self.config.session_id;
            let ready = encode(&Reply::Ready { session_id, slng_request_id: session_id });
            self.outbox.push_back(Message::Text(ready));
        }
    }

    fn on_text(&mut self, text: String, flush: bool) {
        let flush = flush || self.has(SlngQuirk::TerminalPerFragment);
        let turn = self.open_turn();
        turn.has_text = true;
        let id = turn.id;
        let dies = flush && self.strike();
        if !dies {
            self.events.push_back(TtsServerEvent::Synthesise { turn: id, text, flush });
            if flush {
                self.open_turn().flushed = true;
            }
        }
    }

    fn on_flush(&mut self) {
        let ended_already = self.has(SlngQuirk::TerminalPerFragment) && self.next_turn > 0;
        if ended_already || self.strike() {
            return;
        }
        let turn = self.open_turn();
        turn.flushed = true;
        // Nothing to speak: the end marker alone is the answer.
        turn.ended = !turn.has_text;
        let id = turn.id;
        if turn.has_text {
            self.events.push_back(TtsServerEvent::Synthesise { turn: id, text: String::new(), flush: true });
        }
    }

    /// The turn that takes text now.
    fn open_turn(&mut self) -> &mut Turn {
        if self.turns.back().is_none_or(|turn| turn.flushed) {
            self.turns.push_back(Turn::new(self.next_turn));
            self.next_turn += 1;
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }

    /// Lets a quirk strike that answers the first flush of a link by its end.
    fn strike(&mut self) -> bool {
        if self.struck {
            return false;
        }
        self.struck = true;
        if self.has(SlngQuirk::ProviderError) {
            self.fail("provider_error", "the provider failed");
        } else if self.has(SlngQuirk::ErrorBody) {
            let body = write_error(self.config.quirks, "provider_error", "the provider failed");
            self.outbox.push_back(Message::Binary(body.into_bytes().into()));
        } else if self.has(SlngQuirk::CloseBeforeAudio) {
            self.close(CloseFrame::normal());
        } else {
            return false;
        }
        self.turns.clear();
        true
    }

    fn on_clear(&mut self) {
        let before = self.next_turn;
        if self.has(SlngQuirk::LateAudio) && !self.turns.is_empty() {
            self.timers.set(Timer::LateAudio, self.now + LATE_AUDIO);
        }
        self.turns.clear();
        self.events.push_back(TtsServerEvent::Cleared { before });
        if !self.has(SlngQuirk::NoCleared) {
            self.outbox.push_back(Message::Text(encode(&Reply::Cleared)));
        }
    }

    /// An error the link survives.
    fn complain(&mut self, code: &str, message: &str) {
        let error = write_error(self.config.quirks, code, message);
        self.outbox.push_back(Message::Text(error));
    }

    /// An error the link does not survive, unless a quirk says so.
    fn fail(&mut self, code: &str, message: &str) {
        self.complain(code, message);
        if !self.has(SlngQuirk::ErrorStaysOpen) {
            self.close(CloseFrame::normal());
        }
    }

    fn close(&mut self, frame: CloseFrame) {
        if self.state != State::Over {
            self.outbox.push_back(Message::Close(frame));
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.state = State::Over;
        self.turns.clear();
        self.timers.stop_all();
        self.events.push_back(TtsServerEvent::Closed);
    }

    /// The next audio message or end marker of the oldest turn.
    fn next_output(&mut self) -> Option<Message> {
        if self.state != State::Open {
            return None;
        }
        let mut chunk = self.format.bytes_in(self.config.chunk.clamp(SHORTEST_CHUNK, LONGEST_CHUNK));
        if self.has(SlngQuirk::OddAudio) {
            chunk |= 1;
        }
        let turn = self.turns.front_mut()?;
        let complete = turn.flushed && turn.ended;
        if turn.audio.len() >= chunk || (complete && !turn.audio.is_empty()) {
            let length = turn.audio.len().min(chunk);
            let mut audio = turn.audio.split_to(length).freeze();
            let header = !turn.begun;
            turn.begun = true;
            turn.sent += audio.len() as u64;
            self.last_audio = audio.clone();
            if header && self.has(SlngQuirk::RiffHeader) {
                audio = with_header(self.format, self.format.rate.hz(), &audio);
            } else if header && self.has(SlngQuirk::RiffLies) {
                audio = with_header(self.format, LYING_RATE, &audio);
            }
            return Some(self.audio_message(audio));
        }
        if !complete {
            return None;
        }
        let turn = self.turns.pop_front()?;
        self.end_of(&turn);
        self.outbox.pop_front()
    }

    fn audio_message(&mut self, audio: Bytes) -> Message {
        if !self.has(SlngQuirk::JsonAudio) {
            return Message::Binary(audio);
        }
        self.sequence += 1;
        let data = base64_simd::STANDARD.encode_to_string(&audio);
        Message::Text(encode(&Reply::AudioChunk { data: &data, sequence: self.sequence }))
    }

    /// The end of a turn, in the words the quirks ask for.
    fn end_of(&mut self, turn: &Turn) {
        let bytes_per_second = self.format.bytes_per_second() as f64;
        let audio_end = encode(&Reply::AudioEnd { duration: turn.sent as f64 / bytes_per_second });
        let flushed = encode(&Reply::Flushed);
        let texts = match () {
            () if self.has(SlngQuirk::NoTerminal) || self.has(SlngQuirk::CloseForTerminal) => vec![],
            () if self.has(SlngQuirk::FlushedOnly) => vec![flushed],
            () if self.has(SlngQuirk::BothTerminals) => vec![audio_end, flushed],
            () => vec![audio_end],
        };
        self.outbox.extend(texts.into_iter().map(Message::Text));
        if self.has(SlngQuirk::CloseAfterTerminal) || self.has(SlngQuirk::CloseForTerminal) {
            self.close(CloseFrame::normal());
        }
    }

    fn turn_mut(&mut self, id: u64) -> Result<Option<&mut Turn>, CommandError> {
        if id >= self.next_turn {
            let remedy = "use the number of a `Synthesise` event";
            return Err(CommandError::Invalid { field: "turn", seen: id.to_string(), remedy });
        }
        Ok(self.turns.iter_mut().find(|turn| turn.id == id))
    }

    fn on_audio(&mut self, id: u64, audio: &[u8]) -> Result<(), CommandError> {
        if !audio.len().is_multiple_of(self.format.encoding.bytes_per_sample()) {
            return Err(CommandError::PartialSample { got: audio.len() });
        }
        let held: usize = self.turns.iter().map(|turn| turn.audio.len()).sum();
        let limit = self.config.max_queued;
        if held + audio.len() > limit {
            return Err(CommandError::QueueFull { limit, unit: "bytes of audio" });
        }
        if let Some(turn) = self.turn_mut(id)? {
            turn.audio.extend_from_slice(audio);
        }
        Ok(())
    }

    fn on_end(&mut self, id: u64) -> Result<(), CommandError> {
        match self.turn_mut(id)? {
            Some(turn) if !turn.flushed => {
                let remedy = "end a turn after the event with its flush";
                Err(CommandError::Invalid { field: "turn", seen: format!("{id}, not flushed"), remedy })
            }
            Some(turn) => {
                turn.ended = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Age => self.fail("max_connection_duration_exceeded", "connection is too old"),
            Timer::Idle => self.fail("idle_timeout_exceeded", "connection was idle"),
            Timer::LateAudio => {
                let audio = std::mem::take(&mut self.last_audio);
                if !audio.is_empty() {
                    let message = self.audio_message(audio);
                    self.outbox.push_back(message);
                }
            }
            Timer::Ready => self.send_ready(),
        }
    }
}

impl Turn {
    fn new(id: u64) -> Self {
        Self {
            id,
            has_text: false,
            flushed: false,
            ended: false,
            begun: false,
            audio: BytesMut::new(),
            sent: 0,
        }
    }
}

impl Machine for TtsServer {
    type Command = TtsServerCommand;
    type Event = TtsServerEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        match input {
            Input::Opened if self.state == State::New => {
                if self.has(SlngQuirk::AgeLimit) {
                    self.timers.set(Timer::Age, self.now + AGE_LIMIT);
                }
                if self.has(SlngQuirk::IdleLimit) {
                    self.timers.set(Timer::Idle, self.now + IDLE_LIMIT);
                }
            }
            Input::Opened => {}
            Input::Text(_) if self.state == State::Over => {}
            Input::Text(text) => match read_request(text) {
                Ok(request) => self.on_request(request),
                Err(error) => {
                    self.complain("invalid_request", &error.what);
                    self.events.push_back(TtsServerEvent::Garbled { error });
                }
            },
            Input::Binary(_) if self.state == State::Over => {}
            Input::Binary(_) => self.unhandled("binary"),
            Input::Closed(_) if self.state == State::Over => {}
            Input::Closed(_) => {
                self.outbox.clear();
                self.finish();
            }
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: TtsServerCommand) -> Result<(), CommandError> {
        self.now = self.now.max(now);
        if self.state == State::Over {
            return Err(CommandError::Closed);
        }
        match command {
            TtsServerCommand::Audio { turn, audio } => self.on_audio(turn, &audio)?,
            TtsServerCommand::Close(frame) => self.close(frame),
            TtsServerCommand::End { turn } => self.on_end(turn)?,
            TtsServerCommand::Error { code, message } => self.fail(&code, &message),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.expired(self.now) {
            self.on_timer(timer);
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.outbox.pop_front().or_else(|| self.next_output())
    }

    fn poll_event(&mut self) -> Option<TtsServerEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_finished(&self) -> bool {
        self.state == State::Over && self.events.is_empty() && self.outbox.is_empty()
    }

    fn close_command() -> Option<TtsServerCommand> {
        Some(TtsServerCommand::Close(CloseFrame::normal()))
    }
}

/// The format that `init` names; linear at 24 kHz where it names none.
fn read_format(init: &RequestInit) -> Option<AudioFormat> {
    let encoding = match init.encoding.as_deref() {
        None | Some("linear16" | "pcm") => Encoding::Linear16Le,
        Some("mulaw") => Encoding::MuLaw,
        Some("alaw") => Encoding::ALaw,
        Some(_) => return None,
    };
    let rate = SampleRate::try_from(init.sample_rate.unwrap_or(24_000)).ok()?;
    Some(AudioFormat::new(encoding, rate))
}

/// A RIFF header with the placeholder lengths that streams write, then `audio`.
fn with_header(format: AudioFormat, hz: u32, audio: &[u8]) -> Bytes {
    let (tag, bits): (u16, u16) = match format.encoding {
        Encoding::ALaw => (6, 8),
        Encoding::MuLaw => (7, 8),
        Encoding::Linear16Le | _ => (1, 16),
    };
    let mut out = Vec::with_capacity(44 + audio.len());
    out.extend(b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0");
    out.extend(tag.to_le_bytes());
    out.extend(1u16.to_le_bytes());
    out.extend(hz.to_le_bytes());
    out.extend((hz * u32::from(bits / 8)).to_le_bytes());
    out.extend((bits / 8).to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data\xff\xff\xff\x7f");
    out.extend(audio);
    out.into()
}

const SHORTEST_CHUNK: Duration = Duration::from_millis(20);
const LONGEST_CHUNK: Duration = Duration::from_millis(100);
const LATE_READY: Duration = Duration::from_secs(2);
const IDLE_LIMIT: Duration = Duration::from_secs(10);
const AGE_LIMIT: Duration = Duration::from_secs(30);
/// Within the silence that a careful client asks for after `cleared`.
const LATE_AUDIO: Duration = Duration::from_millis(20);
const LYING_RATE: u32 = 22_050;
