//! The gateway's side of a recognition session: what a simulator is made of.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::SampleRate;

use crate::slng::wire::{
    Reply, ReplySpeech, ReplyWord, Request, RequestInit, Results, encode, read_request, write_error,
};
use crate::slng::{Quirks, SlngQuirk, Word};
use crate::{
    CloseFrame, CommandError, DecodeError, Input, Machine, Message, ProtocolError, TimerKind, Timers,
};

/// One link of the gateway's recognition route. The application hears the audio and says what it
/// understood; this machine keeps the order, and misbehaves as its quirks say.
///
/// ```
/// use std::time::Instant;
/// use voxline_protocol::slng::{Heard, SttServer, SttServerCommand, SttServerConfig, SttServerEvent};
/// use voxline_protocol::{Input, Machine, Message};
///
/// let now = Instant::now();
/// let mut server = SttServer::new(SttServerConfig::default(), now);
/// server.handle_input(now, Input::Opened)?;
/// server.handle_input(now, Input::Text(r#"{"type":"init","config":{"sample_rate":16000}}"#))?;
/// server.handle_input(now, Input::Binary(vec![0; 640].into()))?;
/// assert!(matches!(server.poll_event(), Some(SttServerEvent::Started(_))));
/// assert!(matches!(server.poll_event(), Some(SttServerEvent::Audio(audio)) if audio.len() == 640));
/// server.handle_command(now, SttServerCommand::Final(Heard::new("hello there", 0..320)))?;
/// let ready = server.poll_transmit();
/// assert!(matches!(server.poll_transmit(), Some(Message::Text(said)) if said.contains("hello there")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SttServer {
    config: SttServerConfig,
    now: Instant,
    state: State,
    rate: SampleRate,
    partials: bool,
    timers: Timers<Timer>,
    outbox: VecDeque<Message>,
    events: VecDeque<SttServerEvent>,
    /// Half a sample that waits for its other half.
    carry: Option<u8>,
    /// A finalize the `NoFinal` quirk leaves unanswered.
    final_owed: bool,
    struck: bool,
}

/// How the simulated gateway behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SttServerConfig {
    /// Its faults and dialects; none by default.
    pub quirks: Quirks,
    /// The name it gives the link. Default `sim-stt`.
    pub session_id: String,
    /// How long the application may take to finish after `close`. Default 5 s.
    pub drain_timeout: Duration,
}

impl SttServerConfig {
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
}

impl Default for SttServerConfig {
    fn default() -> Self {
        Self { quirks: Quirks::NONE, session_id: "sim-stt".to_owned(), drain_timeout: Duration::from_secs(5) }
    }
}

/// What the client announced in `init`.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SttInit {
    /// Samples a second; the audio is 16-bit linear and mono.
    pub rate: SampleRate,
    /// The language.
    pub language: Option<String>,
    /// Whether partial transcripts are wanted.
    pub partials: bool,
}

/// Speech the application of a simulated gateway understood.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The words.
    pub text: String,
    /// Where they are, in samples from the link's first.
    pub span: Range<u64>,
    /// 0 to 1.
    pub confidence: Option<f32>,
    /// The language.
    pub language: Option<String>,
    /// Each word with its place, in samples from the link's first.
    pub words: Vec<Word>,
}

impl Heard {
    /// Speech in `span`, its words spread evenly over it. Empty text is an empty result.
    #[must_use]
    pub fn new(text: impl Into<String>, span: Range<u64>) -> Self {
        let text = text.into();
        let list: Vec<&str> = text.split_whitespace().collect();
        let (count, length) = (list.len() as u64, span.end.saturating_sub(span.start));
        // Whole words' lengths first, so that no span is too long to be multiplied.
        let (each, rest) = (length / count.max(1), length % count.max(1));
        let place = |index: usize| span.start + each * index as u64 + rest * index as u64 / count.max(1);
        let words = list.iter().enumerate().map(|(index, word)| Word {
            text: (*word).to_owned(),
            start: place(index),
            end: place(index + 1),
            confidence: None,
        });
        let words = words.collect();
        Self { text, span, confidence: None, language: None, words }
    }

    /// Speech whose words have known places.
    #[must_use]
    pub fn with_words(mut self, words: Vec<Word>) -> Self {
        self.words = words;
        self
    }

    /// Sure to `confidence`, 0 to 1.
    #[must_use]
    pub const fn with_confidence(mut self, confidence: f32) -> Self {
        self.confidence = Some(confidence);
        self
    }
}

/// What the application of a simulated gateway can do.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum SttServerCommand {
    /// Ends the link at once.
    Close(CloseFrame),
    /// Reports an error and, unless a quirk forbids it, closes the link.
    Error {
        /// The gateway's name for it, such as `provider_error`.
        code: String,
        /// Its words.
        message: String,
    },
    /// A transcript that will not be revised.
    Final(Heard),
    /// The answer to [`SttServerEvent::Close`]: all finals were given.
    Finish,
    /// A transcript so far. Sent only if the client asked for partials.
    Partial(Heard),
}

/// What the application of a simulated gateway is told.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SttServerEvent {
    /// More audio, whole samples.
    Audio(Bytes),
    /// The client has no more audio: give the finals that are left, then `Finish`.
    Close,
    /// The link is over. Always the last event.
    Closed,
    /// The client wants a final for all audio so far; an empty one if there is no speech in it.
    Finalize,
    /// A message that did not parse.
    Garbled {
        /// What was wrong with it.
        error: DecodeError,
    },
    /// The client's `init`.
    Started(SttInit),
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
    /// `init` came, `ready` was not sent.
    Preparing,
    Open,
    /// The client sent `close`.
    Draining,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The `AgeLimit` quirk's limit: an error, then the end.
    Age,
    /// The application did not finish after `close`: the link is closed.
    Drain,
    /// The `IdleLimit` quirk's limit: an error, then the end.
    Idle,
    /// The `LateReady` quirk's answer to `init` leaves.
    Ready,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Age, Self::Drain, Self::Idle, Self::Ready];

    fn index(self) -> usize {
        self as usize
    }
}

impl SttServer {
    /// A link's machine; each accepted link gets its own.
    #[must_use]
    pub fn new(config: SttServerConfig, now: Instant) -> Self {
        Self {
            config,
            now,
            state: State::New,
            rate: SampleRate::Hz16000,
            partials: true,
            timers: Timers::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            carry: None,
            final_owed: false,
            struck: false,
        }
    }

    /// The rate that `init` announced.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    fn has(&self, quirk: SlngQuirk) -> bool {
        self.config.quirks.contains(quirk)
    }

    fn touch(&mut self) {
        if self.has(SlngQuirk::IdleLimit) {
            self.timers.set(Timer::Idle, self.now + IDLE_LIMIT);
        }
    }

    fn on_request(&mut self, request: Request) {
        self.touch();
        match (self.state, request) {
            (State::Over | State::Draining, _) => {}
            (State::New, Request::Init(init)) => self.on_init(*init),
            (_, Request::Close) if !self.is_deaf() => self.on_close(),
            (State::New, _) => self.complain("config_error", "the first message must be `init`"),
            (_, Request::Init(_)) => self.complain("config_error", "`init` came twice"),
            (_, Request::Audio(_)) if self.has(SlngQuirk::RejectJsonAudio) => {
                self.complain("invalid_request", "audio must be binary");
            }
            (_, Request::Audio(audio)) => self.on_audio(audio.into()),
            (_, Request::Finalize | Request::Close) if self.is_deaf() => {}
            (_, Request::Finalize) => self.on_finalize(),
            (_, Request::Keepalive) => {}
            (_, Request::Clear) => self.unhandled("clear"),
            (_, Request::Flush) => self.unhandled("flush"),
            (_, Request::Text { .. }) => self.unhandled("text"),
            (_, Request::Close) => {}
            (_, Request::Unhandled(kind)) => self.unhandled(&kind),
        }
    }

    fn is_deaf(&self) -> bool {
        self.has(SlngQuirk::Dead)
    }

    fn unhandled(&mut self, kind: &str) {
        self.events.push_back(SttServerEvent::Unhandled { kind: kind.to_owned() });
    }

    fn on_init(&mut self, init: RequestInit) {
        let encoding_fits = matches!(init.encoding.as_deref(), None | Some("linear16" | "pcm"));
        let rate = SampleRate::try_from(init.sample_rate.unwrap_or(16_000)).ok().filter(|_| encoding_fits);
        let Some(rate) = rate else {
            return self.fail("config_error", "unsupported `encoding` or `sample_rate`");
        };
        if self.has(SlngQuirk::AuthFrame) {
            return self.fail("auth_error", "invalid API key");
        }
        if self.has(SlngQuirk::RateLimit) {
            return self.fail("rate_limit_exceeded", "too many concurrent connections");
        }
        self.state = State::Preparing;
        self.rate = rate;
        self.partials = init.partials.unwrap_or(true);
        let started = SttInit { rate, language: init.language, partials: self.partials };
        self.events.push_back(SttServerEvent::Started(started));
        if self.has(SlngQuirk::LateReady) {
            self.timers.set(Timer::Ready, self.now + LATE_READY);
        } else {
            self.send_ready();
        }
    }

    fn send_ready(&mut self) {
        if !self.has(SlngQuirk::NoReady) && self.state == State::Preparing {
            self.state = State::Open;
            let session_id = &self.config.session_id;
            let ready = encode(&Reply::Ready { session_id, slng_request_id: session_id });
            self.outbox.push_back(Message::Text(ready));
        }
    }

    fn on_audio(&mut self, audio: Bytes) {
        match self.state {
            State::Draining | State::Over => return,
            State::New | State::Preparing if !self.has(SlngQuirk::EarlyAudioAllowed) => {
                let frame = CloseFrame::new(CloseFrame::POLICY_VIOLATION, "audio before ready");
                return self.end(frame);
            }
            State::New | State::Open | State::Preparing => {}
        }
        if self.is_deaf() {
            return;
        }
        let mut audio = match self.carry.take() {
            Some(byte) => [&[byte], &audio[..]].concat().into(),
            None => audio,
        };
        if !audio.len().is_multiple_of(2) {
            self.carry = audio.split_off(audio.len() - 1).first().copied();
        }
        if !audio.is_empty() {
            self.events.push_back(SttServerEvent::Audio(audio));
        }
    }

    fn on_finalize(&mut self) {
        if self.has(SlngQuirk::ProviderError) && !self.struck {
            self.struck = true;
            return self.fail("provider_error", "the provider failed");
        }
        self.final_owed = true;
        self.events.push_back(SttServerEvent::Finalize);
    }

    fn on_close(&mut self) {
        self.state = State::Draining;
        self.timers.set(Timer::Drain, self.now + self.config.drain_timeout);
        self.events.push_back(SttServerEvent::Close);
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
            self.end(CloseFrame::normal());
        }
    }

    fn end(&mut self, frame: CloseFrame) {
        self.outbox.push_back(Message::Close(frame));
        self.finish();
    }

    fn finish(&mut self) {
        self.state = State::Over;
        self.timers.stop_all();
        self.events.push_back(SttServerEvent::Closed);
    }

    fn on_final(&mut self, heard: &Heard) {
        if std::mem::take(&mut self.final_owed) && self.has(SlngQuirk::NoFinal) {
            return;
        }
        if self.has(SlngQuirk::EmptyFinals) {
            let empty = self.transcript(true, &Heard::new("", heard.span.clone()));
            self.outbox.push_back(empty);
        }
        let message = self.transcript(true, heard);
        if self.has(SlngQuirk::DuplicateFinals) {
            self.outbox.push_back(message.clone());
        }
        self.outbox.push_back(message);
    }

    fn on_partial(&mut self, heard: &Heard) {
        if self.partials && !self.has(SlngQuirk::NoPartials) {
            let message = self.transcript(false, heard);
            self.outbox.push_back(message);
        }
    }

    fn transcript(&self, is_final: bool, heard: &Heard) -> Message {
        let seconds = |samples: u64| samples as f64 / f64::from(self.rate.hz());
        let words = heard.words.iter().map(|word| ReplyWord {
            word: &word.text,
            start: seconds(word.start),
            end: seconds(word.end),
            confidence: word.confidence,
        });
        let words = if self.has(SlngQuirk::NoWordTimes) { Vec::new() } else { words.collect() };
        let text = Some(heard.text.as_str());
        let named_text = self.has(SlngQuirk::TextKey);
        let mut speech = ReplySpeech {
            transcript: text.filter(|_| !named_text),
            text: text.filter(|_| named_text),
            confidence: heard.confidence,
            language: heard.language.as_deref(),
            duration: None,
            words,
        };
        let span = (seconds(heard.span.start), seconds(heard.span.end));
        Message::Text(if self.has(SlngQuirk::ResultsDialect) {
            encode(&Results::new(is_final, span, speech))
        } else if is_final {
            speech.duration = Some(span.1 - span.0);
            encode(&Reply::FinalTranscript(speech))
        } else {
            encode(&Reply::PartialTranscript(speech))
        })
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Age => self.fail("max_connection_duration_exceeded", "connection is too old"),
            Timer::Drain => self.end(CloseFrame::normal()),
            Timer::Idle => self.fail("idle_timeout_exceeded", "connection was idle"),
            Timer::Ready => self.send_ready(),
        }
    }
}

impl Machine for SttServer {
    type Command = SttServerCommand;
    type Event = SttServerEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        if self.state == State::Over {
            return Ok(());
        }
        match input {
            Input::Opened => {
                self.touch();
                if self.has(SlngQuirk::AgeLimit) {
                    self.timers.set(Timer::Age, self.now + AGE_LIMIT);
                }
            }
            Input::Text(text) => match read_request(text) {
                Ok(request) => self.on_request(request),
                Err(error) => {
                    self.complain("invalid_request", &error.what);
                    self.events.push_back(SttServerEvent::Garbled { error });
                }
            },
            Input::Binary(audio) => {
                self.touch();
                self.on_audio(audio);
            }
            Input::Closed(_) => {
                self.outbox.clear();
                self.finish();
            }
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: SttServerCommand) -> Result<(), CommandError> {
        self.now = self.now.max(now);
        if self.state == State::Over {
            return Err(CommandError::Closed);
        }
        match command {
            SttServerCommand::Close(frame) => self.end(frame),
            SttServerCommand::Error { code, message } => self.fail(&code, &message),
            SttServerCommand::Final(heard) => self.on_final(&heard),
            SttServerCommand::Finish => self.end(CloseFrame::normal()),
            SttServerCommand::Partial(heard) => self.on_partial(&heard),
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
        self.outbox.pop_front()
    }

    fn poll_event(&mut self) -> Option<SttServerEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_finished(&self) -> bool {
        self.state == State::Over && self.events.is_empty() && self.outbox.is_empty()
    }

    fn close_command() -> Option<SttServerCommand> {
        Some(SttServerCommand::Close(CloseFrame::normal()))
    }
}

const LATE_READY: Duration = Duration::from_secs(2);
const IDLE_LIMIT: Duration = Duration::from_secs(10);
const AGE_LIMIT: Duration = Duration::from_secs(30);
