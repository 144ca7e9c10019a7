//! The gateway's side of a recognition session: what a simulator is made of.

use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::SampleRate;

pub use self::types::{Heard, SttInit, SttServerCommand, SttServerConfig, SttServerEvent};
use crate::slng::SlngQuirk;
use crate::slng::gate::{Gate, State, Timer};
use crate::slng::wire::{Reply, ReplySpeech, ReplyWord, Request, RequestInit, Results, encode};
use crate::{CloseFrame, CommandError, Input, Machine, Message, ProtocolError};

mod types;

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
    gate: Gate<SttServerEvent>,
    drain_timeout: Duration,
    rate: SampleRate,
    partials: bool,
    /// Half a sample that waits for its other half.
    carry: Option<u8>,
    /// A finalize the `NoFinal` quirk leaves unanswered.
    final_owed: bool,
}

impl SttServer {
    /// A link's machine; each accepted link gets its own.
    #[must_use]
    pub fn new(config: SttServerConfig, now: Instant) -> Self {
        let SttServerConfig { quirks, session_id, drain_timeout } = config;
        Self {
            gate: Gate::new(quirks, session_id, now),
            drain_timeout,
            rate: SampleRate::Hz16000,
            partials: true,
            carry: None,
            final_owed: false,
        }
    }

    /// The rate that `init` announced.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    fn on_request(&mut self, request: Request) {
        match (self.gate.state, request) {
            (State::Over | State::Draining, _) => {}
            (State::New, Request::Init(init)) => self.on_init(*init),
            (_, Request::Close) if !self.is_deaf() => self.on_close(),
            (State::New, _) => self.gate.complain("config_error", "the first message must be `init`"),
            (_, Request::Init(_)) => self.gate.complain("config_error", "`init` came twice"),
            (_, Request::Audio(_)) if self.gate.has(SlngQuirk::RejectJsonAudio) => {
                self.gate.complain("invalid_request", "audio must be binary");
            }
            (_, Request::Audio(audio)) => self.on_audio(audio.into()),
            (_, Request::Finalize | Request::Close) if self.is_deaf() => {}
            (_, Request::Finalize) => self.on_finalize(),
            (_, Request::Keepalive) => {}
            (_, Request::Clear) => self.gate.unhandled("clear"),
            (_, Request::Flush) => self.gate.unhandled("flush"),
            (_, Request::Text { .. }) => self.gate.unhandled("text"),
            (_, Request::Close) => {}
            (_, Request::Unhandled(kind)) => self.gate.unhandled(kind),
        }
    }

    const fn is_deaf(&self) -> bool {
        self.gate.has(SlngQuirk::Dead)
    }

    fn on_init(&mut self, init: RequestInit) {
        let encoding_fits = matches!(init.encoding.as_deref(), None | Some("linear16" | "pcm"));
        let rate = SampleRate::try_from(init.sample_rate.unwrap_or(16_000)).ok().filter(|_| encoding_fits);
        let Some(rate) = self.gate.admit(rate) else { return };
        self.rate = rate;
        self.partials = init.partials.unwrap_or(true);
        let started = SttInit { rate, language: init.language, partials: self.partials };
        self.gate.welcome(SttServerEvent::Started(started));
    }

    fn on_audio(&mut self, audio: Bytes) {
        match self.gate.state {
            State::Draining | State::Over => return,
            State::New | State::Preparing if !self.gate.has(SlngQuirk::EarlyAudioAllowed) => {
                let frame = CloseFrame::new(CloseFrame::POLICY_VIOLATION, "audio before ready");
                return self.gate.close(frame);
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
            self.gate.events.push_back(SttServerEvent::Audio(audio));
        }
    }

    fn on_finalize(&mut self) {
        if self.gate.has(SlngQuirk::ProviderError) && self.gate.strikes_now() {
            return self.gate.fail("provider_error", "the provider failed");
        }
        self.final_owed = true;
        self.gate.events.push_back(SttServerEvent::Finalize);
    }

    fn on_close(&mut self) {
        self.gate.state = State::Draining;
        self.gate.wait(Timer::Drain, self.drain_timeout);
        self.gate.events.push_back(SttServerEvent::Close);
    }

    fn on_final(&mut self, heard: &Heard) {
        if std::mem::take(&mut self.final_owed) && self.gate.has(SlngQuirk::NoFinal) {
            return;
        }
        if self.gate.has(SlngQuirk::EmptyFinals) {
            let empty = self.transcript(true, &Heard::new("", heard.span.clone()));
            self.gate.outbox.push_back(empty);
        }
        let message = self.transcript(true, heard);
        if self.gate.has(SlngQuirk::DuplicateFinals) {
            self.gate.outbox.push_back(message.clone());
        }
        self.gate.outbox.push_back(message);
    }

    fn on_partial(&mut self, heard: &Heard) {
        if self.partials && !self.gate.has(SlngQuirk::NoPartials) {
            let message = self.transcript(false, heard);
            self.gate.outbox.push_back(message);
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
        let words = if self.gate.has(SlngQuirk::NoWordTimes) { Vec::new() } else { words.collect() };
        let text = Some(heard.text.as_str());
        let named_text = self.gate.has(SlngQuirk::TextKey);
        let mut speech = ReplySpeech {
            transcript: text.filter(|_| !named_text),
            text: text.filter(|_| named_text),
            confidence: heard.confidence,
            language: heard.language.as_deref(),
            duration: None,
            words,
        };
        let span = (seconds(heard.span.start), seconds(heard.span.end));
        Message::Text(if self.gate.has(SlngQuirk::ResultsDialect) {
            encode(&Results::new(is_final, span, speech))
        } else if is_final {
            speech.duration = Some(span.1 - span.0);
            encode(&Reply::FinalTranscript(speech))
        } else {
            encode(&Reply::PartialTranscript(speech))
        })
    }
}

impl Machine for SttServer {
    type Command = SttServerCommand;
    type Event = SttServerEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.gate.advance_clock(now);
        match (self.gate.state, input) {
            (_, Input::Closed(_)) => self.gate.on_closed(),
            (State::Over, _) => {}
            (_, Input::Opened) => self.gate.on_opened(),
            (_, Input::Text(text)) => {
                if let Some(request) = self.gate.read(text) {
                    self.on_request(request);
                }
            }
            (_, Input::Binary(audio)) => {
                self.gate.touch();
                self.on_audio(audio);
            }
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: SttServerCommand) -> Result<(), CommandError> {
        self.gate.advance_clock(now);
        if self.gate.is_over() {
            return Err(CommandError::Closed);
        }
        match command {
            SttServerCommand::Close(frame) => self.gate.close(frame),
            SttServerCommand::Error { code, message } => self.gate.fail(&code, &message),
            SttServerCommand::Final(heard) => self.on_final(&heard),
            SttServerCommand::Finish => self.gate.close(CloseFrame::normal()),
            SttServerCommand::Partial(heard) => self.on_partial(&heard),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.gate.advance_clock(now);
        while let Some(timer) = self.gate.expired() {
            if timer == Timer::Drain {
                self.gate.close(CloseFrame::normal());
            }
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.gate.outbox.pop_front()
    }

    fn poll_event(&mut self) -> Option<SttServerEvent> {
        self.gate.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.gate.timers.next()
    }

    fn is_finished(&self) -> bool {
        self.gate.is_finished()
    }

    fn close_command() -> Option<SttServerCommand> {
        Some(SttServerCommand::Close(CloseFrame::normal()))
    }
}
