//! The gateway's side of a speech session: what a simulator is made of.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, Encoding, SampleRate};

use self::output::Turn;
pub use self::types::{TtsInit, TtsServerCommand, TtsServerConfig, TtsServerEvent};
use crate::slng::SlngQuirk;
use crate::slng::gate::{Gate, State, Timer};
use crate::slng::wire::{Reply, Request, RequestInit, encode};
use crate::{CloseFrame, CommandError, Input, Machine, Message, ProtocolError};

mod output;
mod types;

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
    gate: Gate<TtsServerEvent>,
    chunk: Duration,
    max_queued: usize,
    format: AudioFormat,
    turns: VecDeque<Turn>,
    next_turn: u64,
    sequence: u64,
    /// The last audio sent: what the `LateAudio` quirk sends again after `cleared`.
    last_audio: Bytes,
}

impl TtsServer {
    /// A link's machine; each accepted link gets its own.
    #[must_use]
    pub fn new(config: TtsServerConfig, now: Instant) -> Self {
        let TtsServerConfig { quirks, session_id, chunk, max_queued } = config;
        Self {
            gate: Gate::new(quirks, session_id, now),
            chunk,
            max_queued,
            format: AudioFormat::linear16(SampleRate::Hz24000),
            turns: VecDeque::new(),
            next_turn: 0,
            sequence: 0,
            last_audio: Bytes::new(),
        }
    }

    /// The format that `init` asked for.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    fn on_request(&mut self, request: Request) {
        match (self.gate.state, request) {
            (State::Draining | State::Over, _) => {}
            (State::New, Request::Init(init)) => self.on_init(*init),
            (_, Request::Close) => self.gate.close(CloseFrame::normal()),
            (State::New, _) => self.gate.complain("config_error", "the first message must be `init`"),
            (_, Request::Init(_)) => self.gate.complain("config_error", "`init` came twice"),
            // Text is taken before `ready`: neither of the vendor's clients is sure to wait for it.
            (State::Preparing | State::Open, request) => self.on_order(request),
        }
    }

    fn on_order(&mut self, request: Request) {
        match request {
            _ if self.gate.has(SlngQuirk::Dead) => {}
            Request::Clear => self.on_clear(),
            Request::Flush if self.gate.has(SlngQuirk::IgnoreStandaloneFlush) => {}
            Request::Flush => self.on_flush(),
            Request::Text { text, flush } => self.on_text(text, flush),
            Request::Close | Request::Init(_) | Request::Keepalive => {}
            Request::Audio(_) => self.gate.unhandled("audio"),
            Request::Finalize => self.gate.unhandled("finalize"),
            Request::Unhandled(kind) => self.gate.unhandled(kind),
        }
    }

    fn on_init(&mut self, init: RequestInit) {
        let Some(format) = self.gate.admit(read_format(&init)) else { return };
        self.format = format;
        let RequestInit { voice, language, speed, .. } = init;
        self.gate.welcome(TtsServerEvent::Started(TtsInit { format, voice, language, speed }));
    }

    fn on_text(&mut self, text: String, flush: bool) {
        let flush = flush || self.gate.has(SlngQuirk::TerminalPerFragment);
        let turn = self.open_turn();
        turn.has_text = true;
        let id = turn.id;
        let dies = flush && self.strike();
        if !dies {
            self.gate.events.push_back(TtsServerEvent::Synthesise { turn: id, text, flush });
            if flush {
                self.open_turn().flushed = true;
            }
        }
    }

    fn on_flush(&mut self) {
        let ended_already = self.gate.has(SlngQuirk::TerminalPerFragment) && self.next_turn > 0;
        if ended_already || self.strike() {
            return;
        }
        let turn = self.open_turn();
        turn.flushed = true;
        // Nothing to speak: the end marker alone is the answer.
        turn.ended = !turn.has_text;
        let id = turn.id;
        if turn.has_text {
            self.gate.events.push_back(TtsServerEvent::Synthesise {
                turn: id,
                text: String::new(),
                flush: true,
            });
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
        if !self.gate.strikes_now() {
            return false;
        }
        if self.gate.has(SlngQuirk::ProviderError) {
            self.gate.fail("provider_error", "the provider failed");
        } else if self.gate.has(SlngQuirk::ErrorBody) {
            let body = self.gate.error("provider_error", "the provider failed");
            self.gate.outbox.push_back(Message::Binary(body.into_bytes().into()));
        } else if self.gate.has(SlngQuirk::CloseBeforeAudio) {
            self.gate.close(CloseFrame::normal());
        } else {
            return false;
        }
        self.turns.clear();
        true
    }

    fn on_clear(&mut self) {
        let before = self.next_turn;
        if self.gate.has(SlngQuirk::LateAudio) && !self.turns.is_empty() {
            self.gate.wait(Timer::LateAudio, LATE_AUDIO);
        }
        self.turns.clear();
        self.gate.events.push_back(TtsServerEvent::Cleared { before });
        if !self.gate.has(SlngQuirk::NoCleared) {
            self.gate.outbox.push_back(Message::Text(encode(&Reply::Cleared)));
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
        let limit = self.max_queued;
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
}

impl Machine for TtsServer {
    type Command = TtsServerCommand;
    type Event = TtsServerEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.gate.advance_clock(now);
        match (self.gate.state, input) {
            (_, Input::Closed(_)) => self.gate.on_closed(),
            (State::Over, _) => {}
            (State::New, Input::Opened) => self.gate.on_opened(),
            (_, Input::Opened) => {}
            (_, Input::Text(text)) => {
                if let Some(request) = self.gate.read(text) {
                    self.on_request(request);
                }
            }
            (_, Input::Binary(_)) => self.gate.unhandled("binary"),
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: TtsServerCommand) -> Result<(), CommandError> {
        self.gate.advance_clock(now);
        if self.gate.is_over() {
            return Err(CommandError::Closed);
        }
        match command {
            TtsServerCommand::Audio { turn, audio } => self.on_audio(turn, &audio)?,
            TtsServerCommand::Close(frame) => self.gate.close(frame),
            TtsServerCommand::End { turn } => self.on_end(turn)?,
            TtsServerCommand::Error { code, message } => self.gate.fail(&code, &message),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.gate.advance_clock(now);
        while let Some(timer) = self.gate.expired() {
            if timer == Timer::LateAudio {
                self.send_late_audio();
            }
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.gate.outbox.pop_front().or_else(|| self.next_output())
    }

    fn poll_event(&mut self) -> Option<TtsServerEvent> {
        self.gate.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.gate.timers.next()
    }

    fn is_finished(&self) -> bool {
        self.gate.is_finished()
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

/// Within the silence that a careful client asks for after `cleared`.
const LATE_AUDIO: Duration = Duration::from_millis(20);
