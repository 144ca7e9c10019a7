//! The application's side of a speech session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::intake::Intake;
use super::text::{Run, TextQueue};
use super::{FlushPolicy, Truncation, TtsCommand, TtsConfig, TtsEvent, TtsStats};
use crate::slng::codes;
use crate::slng::wire::{
    Terminal, ToTts, TtsInitConfig, TtsMessage, VendorError, encode, encoding_name, error_body, read_tts,
};
use crate::slng::{SpokenWord, types};
use crate::{
    CloseFrame, Code, CommandError, DecodeError, Input, LinkLife, Machine, Message, ProtocolError, TimerKind,
    Timers, UtteranceId,
};

/// Text in, audio out, over as many links as it takes.
///
/// **Ownership.** The gateway labels nothing, so at most one flushed piece of text is unanswered on a
/// link, and all audio until its end marker is its own (T03). Later text waits here, where a clear
/// drops it without a word on the wire.
///
/// **Lost links.** Text of which nothing was heard is sent again on the next link, once a link and
/// on three links at most (T08). Text that was partly heard is not: [`TtsEvent::Truncated`] says
/// where it stopped. A close without an end marker is a truncation (T17), with one exception: some
/// routes end every utterance by a close in good order and nothing else, so on a route that has
/// never sent an end marker, code 1000 after flush and audio is one.
///
/// **Clear.** After [`TtsCommand::Clear`] no event carries audio of anything spoken before it, on any
/// route: what arrives until `cleared` is dropped, and a link that does not acknowledge in time, or
/// sends audio after it did, is replaced. Text given meanwhile is spoken afterwards.
///
/// ```
/// use std::time::Instant;
/// use voxline_audio::{AudioFormat, SampleRate};
/// use voxline_protocol::slng::{TtsClient, TtsCommand, TtsConfig, TtsEvent};
/// use voxline_protocol::{Input, Machine, Message, UtteranceId};
///
/// let now = Instant::now();
/// let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz16000), "ada");
/// let mut tts = TtsClient::new(config, now);
/// tts.handle_input(now, Input::Opened)?;
/// assert!(matches!(tts.poll_transmit(), Some(Message::Text(init)) if init.contains("init")));
/// tts.handle_input(now, Input::Text(r#"{"type":"ready","session_id":"s-1"}"#))?;
/// let utterance = UtteranceId::FIRST;
/// tts.handle_command(now, TtsCommand::Speak { utterance, text: "One two.".into() })?;
/// tts.handle_command(now, TtsCommand::Flush)?;
/// let text = r#"{"type":"text","text":"One two.","flush":true}"#;
/// assert_eq!(tts.poll_transmit(), Some(Message::Text(text.into())));
/// tts.handle_input(now, Input::Binary(vec![0; 640].into()))?;
/// tts.handle_input(now, Input::Text(r#"{"type":"audio_end"}"#))?;
/// assert!(matches!(tts.poll_event(), Some(TtsEvent::Ready { .. })));
/// assert!(matches!(tts.poll_event(), Some(TtsEvent::Audio { audio, .. }) if audio.len() == 640));
/// assert!(matches!(tts.poll_event(), Some(TtsEvent::UtteranceEnd { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TtsClient {
    config: TtsConfig,
    now: Instant,
    link: Link,
    life: LinkLife,
    timers: Timers<Timer>,
    /// What goes out before any text.
    outbox: VecDeque<Message>,
    events: VecDeque<TtsEvent>,
    text: TextQueue,
    turn: Option<Turn>,
    intake: Intake,
    /// An end marker that may still come for something that is over.
    leftover: Option<Leftover>,
    terminals: Terminals,
    /// Whether this route has ever sent an end marker.
    marks_ends: bool,
    /// Set once a standalone flush went unanswered: from then on it travels inside the text.
    inline_only: bool,
    mismatch_told: bool,
    garbled_in_a_row: usize,
    stats: TtsStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    AwaitingReady,
    /// `clear` is unanswered; so many bytes were dropped since.
    Clearing {
        dropped: u64,
    },
    /// `close` was sent.
    Closing,
    Down,
    /// The session is over.
    Over,
    /// `cleared` came; late audio would still be old.
    Quiet,
    Ready,
    /// We closed it and wait for its end.
    Retired,
}

/// The waits of a speech session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// `cleared` is late: the link is replaced.
    Clear,
    /// The gateway did not close: we do.
    Close,
    /// `keepalive` is due.
    Keepalive,
    /// Nothing late came after `cleared`: text may go out again.
    Quiet,
    /// `ready` is late: the link is replaced.
    Ready,
    /// No audio followed an end marker: it was the utterance's.
    Settle,
    /// A flushed utterance has been silent for too long: the link is replaced.
    Terminal,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] =
        &[Self::Clear, Self::Close, Self::Keepalive, Self::Quiet, Self::Ready, Self::Settle, Self::Terminal];

    fn index(self) -> usize {
        self as usize
    }
}

/// The part of the front run that is on the wire.
#[derive(Debug)]
struct Turn {
    /// Text messages it took.
    messages: u32,
    /// Whether its flush was sent, and whether in a message of its own.
    flush: Option<FlushForm>,
    /// Audio heard of it, in bytes.
    bytes: u64,
    /// End markers seen, of the kind seen first.
    ends: u32,
    ended_by: Option<Terminal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlushForm {
    Inline,
    Standalone,
}

/// End markers that do not belong to the turn at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    /// Whatever a cleared turn was owed.
    Any,
    /// The second of a pair, of another kind than this.
    OtherThan(Terminal),
}

/// How a route ends a turn of several text messages, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terminals {
    PerMessage,
    PerTurn,
    Unknown,
}

impl TtsClient {
    /// A session without a link yet. Commands are taken at once.
    #[must_use]
    pub fn new(config: TtsConfig, now: Instant) -> Self {
        Self {
            intake: Intake::new(config.format),
            config,
            now,
            link: Link::Down,
            life: LinkLife::FIRST,
            timers: Timers::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            text: TextQueue::default(),
            turn: None,
            leftover: None,
            terminals: Terminals::Unknown,
            marks_ends: false,
            inline_only: false,
            mismatch_told: false,
            garbled_in_a_row: 0,
            stats: TtsStats::default(),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> TtsStats {
        self.stats
    }

    /// How many links there have been.
    #[must_use]
    pub const fn life(&self) -> LinkLife {
        self.life
    }

    /// Whether nothing waits to be spoken and nothing is owed: the moment to replace an old link.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.turn.is_none() && self.text.front().is_none() && !matches!(self.link, Link::Clearing { .. })
    }

    fn check_text(&self, utterance: UtteranceId, text: &str) -> Result<(), CommandError> {
        let invalid = |field, seen, remedy| Err(CommandError::Invalid { field, seen, remedy });
        if text.is_empty() {
            return invalid("text", "empty".to_owned(), "give at least one character");
        }
        let characters = text.chars().count();
        if characters > self.config.max_text {
            let seen = format!("{characters} characters long");
            return invalid(
                "text",
                seen,
                "split it at sentence ends, or raise `max_text` if the model takes more",
            );
        }
        if let Some(last) = self.text.last().filter(|last| utterance < *last) {
            let seen = format!("{utterance} after {last}");
            return invalid("utterance", seen, "number utterances upwards");
        }
        if self.text.held_bytes() + text.len() > self.config.max_queued_text {
            return Err(CommandError::QueueFull {
                limit: self.config.max_queued_text,
                unit: "bytes of text",
            });
        }
        Ok(())
    }

    fn on_opened(&mut self) {
        match self.link {
            Link::Over => return,
            Link::Down => {}
            // A new link replaces the old one, whose end was not told.
            Link::AwaitingReady
            | Link::Clearing { .. }
            | Link::Closing
            | Link::Quiet
            | Link::Ready
            | Link::Retired => self.on_closed(None),
        }
        if self.link == Link::Over {
            return;
        }
        self.life = self.life.next();
        self.link = Link::AwaitingReady;
        let config = TtsInitConfig {
            encoding: encoding_name(self.config.format.encoding),
            sample_rate: self.config.format.rate.hz(),
            language: self.config.language.as_deref(),
            speed: self.config.speed,
        };
        let init = encode(&ToTts::Init { voice: &self.config.voice, config });
        self.outbox.push_back(Message::Text(init));
        self.timers.set(Timer::Ready, self.now + self.config.ready_timeout);
    }

    fn on_closed(&mut self, frame: Option<CloseFrame>) {
        self.timers.stop_all();
        self.outbox.clear();
        match self.link {
            Link::Down | Link::Over => return,
            Link::Closing => return self.finish(),
            Link::Clearing { dropped } => self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped }),
            Link::AwaitingReady | Link::Quiet | Link::Ready | Link::Retired => {}
        }
        self.link = Link::Down;
        let in_order = frame.as_ref().is_some_and(|frame| frame.code == CloseFrame::NORMAL);
        match &self.turn {
            Some(turn) if in_order && self.closes_by_ending(turn) => self.end_turn(Terminal::Other),
            Some(_) => self.lose_turn(Truncation::LinkLost),
            None => {}
        }
        self.leftover = None;
        self.intake.reset();
        self.events.push_back(TtsEvent::LinkLost(frame));
    }

    /// Whether a close in good order is the end of `turn` rather than an accident in it.
    fn closes_by_ending(&self, turn: &Turn) -> bool {
        let settling = turn.ends > 0 && self.terminals == Terminals::Unknown;
        turn.flush.is_some() && (settling || (turn.bytes > 0 && !self.marks_ends))
    }

    fn on_text(&mut self, text: &str) -> Result<(), ProtocolError> {
        let message = match read_tts(text) {
            Ok(message) => message,
            Err(error) => return self.on_garbled(error),
        };
        self.garbled_in_a_row = 0;
        match message {
            TtsMessage::Audio { audio, last } => {
                self.on_audio(Bytes::from(audio));
                if let Some(terminal) = last {
                    self.on_terminal(terminal);
                }
            }
            TtsMessage::Cleared => self.on_cleared(),
            TtsMessage::Error(error) => return self.on_error(error),
            TtsMessage::Ignored => {}
            TtsMessage::Ready { session_id } => self.on_ready(session_id),
            TtsMessage::Terminal(terminal) => self.on_terminal(terminal),
            TtsMessage::Unhandled(kind) => {
                self.stats.unhandled += 1;
                self.events.push_back(TtsEvent::Unhandled { kind });
            }
            TtsMessage::Words(words) => self.on_words(&words),
        }
        Ok(())
    }

    fn on_garbled(&mut self, error: DecodeError) -> Result<(), ProtocolError> {
        self.stats.garbled += 1;
        self.garbled_in_a_row += 1;
        if self.garbled_in_a_row > MAX_GARBLED {
            self.link = Link::Over;
            return Err(ProtocolError::LimitExceeded {
                what: "messages that do not parse",
                limit: MAX_GARBLED,
            });
        }
        self.events.push_back(TtsEvent::Garbled { error });
        Ok(())
    }

    fn on_ready(&mut self, session_id: Option<String>) {
        if self.link == Link::AwaitingReady {
            self.link = Link::Ready;
            self.timers.stop(Timer::Ready);
            self.timers.set(Timer::Keepalive, self.now + self.config.keepalive);
            self.events.push_back(TtsEvent::Ready { session_id });
        }
    }

    fn on_binary(&mut self, audio: Bytes) -> Result<(), ProtocolError> {
        match error_body(&audio) {
            Some(VendorError { code, message }) => {
                let code = if code == codes::UNKNOWN { codes::ERROR_BODY } else { code };
                self.on_error(VendorError { code, message })
            }
            None => {
                self.on_audio(audio);
                Ok(())
            }
        }
    }

    fn on_audio(&mut self, audio: Bytes) {
        match &mut self.link {
            Link::Ready => {}
            Link::Clearing { dropped } => {
                *dropped += audio.len() as u64;
                self.stats.dropped_bytes += audio.len() as u64;
                return;
            }
            Link::Quiet => return self.on_stray(&audio),
            Link::AwaitingReady | Link::Closing | Link::Down | Link::Over | Link::Retired => {
                self.stats.dropped_bytes += audio.len() as u64;
                return;
            }
        }
        let Some(turn) = &mut self.turn else { return self.on_stray(&audio) };
        if self.timers.get(Timer::Settle).is_some() {
            // Audio after an end marker of the same turn: this route ends each message by itself.
            self.timers.stop(Timer::Settle);
            self.terminals = Terminals::PerMessage;
        }
        if turn.flush.is_some() {
            self.timers.set(Timer::Terminal, self.now + self.config.terminal_timeout);
        }
        let taken = self.intake.push(audio);
        if let Some(message) = taken.mismatch.filter(|_| !self.mismatch_told) {
            self.mismatch_told = true;
            self.warn(codes::AUDIO_FORMAT, message);
        }
        self.deliver(taken.audio);
    }

    fn deliver(&mut self, audio: Bytes) {
        let (Some(turn), Some(run)) = (&mut self.turn, self.text.front()) else { return };
        if !audio.is_empty() {
            turn.bytes += audio.len() as u64;
            self.stats.audio_bytes += audio.len() as u64;
            self.events.push_back(TtsEvent::Audio { utterance: run.utterance, audio });
        }
    }

    /// Audio that no text is owed: whose it is cannot be told, nor what comes after it.
    fn on_stray(&mut self, audio: &Bytes) {
        self.stats.dropped_bytes += audio.len() as u64;
        self.warn(codes::STRAY_AUDIO, format!("{} bytes nobody asked for", audio.len()));
        self.retire(Truncation::LinkLost);
    }

    fn on_terminal(&mut self, kind: Terminal) {
        self.marks_ends = true;
        if self.link != Link::Ready {
            return;
        }
        let Some(turn) = &mut self.turn else { return };
        let is_leftover = match self.leftover {
            Some(Leftover::Any) => true,
            Some(Leftover::OtherThan(ended)) => ended != kind,
            None => false,
        };
        // Output is in order: once there is audio of this turn, nothing of an older one follows.
        if is_leftover && turn.bytes == 0 && !self.intake.holds_audio() {
            self.leftover = None;
            return;
        }
        if turn.ended_by.is_some_and(|ended| ended != kind) {
            return;
        }
        turn.ended_by = Some(kind);
        turn.ends += 1;
        if turn.flush.is_none() {
            self.terminals = Terminals::PerMessage;
            return;
        }
        match self.terminals {
            Terminals::PerMessage if turn.ends < turn.messages => {}
            Terminals::Unknown if turn.messages > 1 => self.timers.set(Timer::Settle, self.now + SETTLE),
            Terminals::PerMessage | Terminals::PerTurn | Terminals::Unknown => self.end_turn(kind),
        }
    }

    fn on_settled(&mut self) {
        if self.terminals == Terminals::Unknown {
            self.terminals = Terminals::PerTurn;
        }
        if let Some(kind) = self.turn.as_ref().and_then(|turn| turn.ended_by) {
            self.end_turn(kind);
        }
    }

    /// The turn has all its audio.
    fn end_turn(&mut self, kind: Terminal) {
        let tail = self.intake.finish();
        self.deliver(tail);
        self.intake.reset();
        self.timers.stop(Timer::Terminal);
        self.timers.stop(Timer::Settle);
        let (Some(turn), Some(run)) = (self.turn.take(), self.text.front_mut()) else { return };
        run.voiced = run.taken;
        run.made += turn.bytes;
        run.attempts = 0;
        self.leftover = Some(Leftover::OtherThan(kind));
    }

    /// The turn will get no more audio on this link.
    fn lose_turn(&mut self, reason: Truncation) {
        let Some(turn) = self.turn.take() else { return };
        let Some(run) = self.text.front_mut() else { return };
        run.attempts += 1;
        let unanswered = turn.bytes == 0 && run.attempts >= MAX_ATTEMPTS;
        if turn.bytes == 0 && !unanswered {
            run.taken = run.voiced;
            self.stats.replayed += 1;
            return;
        }
        if let Some(Run { utterance, text, voiced, made, .. }) = self.text.pop() {
            let spoken = duration_of(&self.config, made + turn.bytes);
            let reason = if unanswered { Truncation::Unanswered } else { reason };
            self.events.push_back(TtsEvent::Truncated { utterance, spoken, text, voiced, reason });
        }
    }

    fn on_words(&mut self, words: &[(String, f64, f64)]) {
        let (Some(_), Some(run), Link::Ready) = (&self.turn, self.text.front(), self.link) else { return };
        let before = duration_of(&self.config, run.made);
        let at = |seconds: f64| before + types::seconds(seconds);
        let words = words.iter().map(|(text, start, end)| SpokenWord {
            text: text.clone(),
            start: at(*start),
            end: at(*end),
        });
        let event = TtsEvent::Words { utterance: run.utterance, words: words.collect() };
        self.events.push_back(event);
    }

    fn on_error(&mut self, error: VendorError) -> Result<(), ProtocolError> {
        match self.link {
            Link::Closing | Link::Down | Link::Over | Link::Retired => return Ok(()),
            Link::AwaitingReady | Link::Clearing { .. } | Link::Quiet | Link::Ready => {}
        }
        if !codes::retryable(error.code) {
            self.link = Link::Over;
            return Err(ProtocolError::Peer { code: error.code, message: error.message });
        }
        // Whether a link survives an error is documented nowhere; the vendor's clients drop it.
        self.warn(error.code, error.message);
        self.retire(Truncation::LinkLost);
        Ok(())
    }

    fn on_clear(&mut self) {
        let mut dropped = 0;
        self.events.retain(|event| {
            if let TtsEvent::Audio { audio, .. } = event {
                dropped += audio.len() as u64;
            }
            !Self::is_perishable(event)
        });
        self.stats.dropped_bytes += dropped;
        self.text.clear();
        self.intake.reset();
        self.timers.stop(Timer::Terminal);
        self.timers.stop(Timer::Settle);
        let owed = self.turn.take().is_some();
        match &mut self.link {
            Link::Ready if owed => {
                self.link = Link::Clearing { dropped };
                self.leftover = Some(Leftover::Any);
                self.outbox.push_back(Message::Text(encode(&ToTts::Clear)));
                self.timers.set(Timer::Clear, self.now + self.config.clear_timeout);
            }
            // It joins the clear that is unanswered.
            Link::Clearing { dropped: before } => *before += dropped,
            Link::AwaitingReady | Link::Down | Link::Quiet | Link::Ready | Link::Retired => {
                self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped });
            }
            Link::Closing | Link::Over => {}
        }
    }

    fn on_cleared(&mut self) {
        let Link::Clearing { dropped } = self.link else { return };
        self.timers.stop(Timer::Clear);
        self.link = Link::Quiet;
        self.timers.set(Timer::Quiet, self.now + self.config.clear_quiet);
        self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped });
    }

    fn on_close(&mut self) {
        self.text.clear();
        self.turn = None;
        self.timers.stop_all();
        match self.link {
            Link::Down | Link::Over | Link::Retired => self.finish(),
            Link::AwaitingReady | Link::Clearing { .. } | Link::Closing | Link::Quiet | Link::Ready => {
                self.link = Link::Closing;
                self.outbox.push_back(Message::Text(encode(&ToTts::Close)));
                self.timers.set(Timer::Close, self.now + self.config.close_timeout);
            }
        }
    }

    /// Gives the link up: closes it, and waits for another.
    fn retire(&mut self, reason: Truncation) {
        if let Link::Clearing { dropped } = self.link {
            self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped });
        }
        self.lose_turn(reason);
        self.timers.stop_all();
        self.outbox.clear();
        self.outbox.push_back(Message::Close(CloseFrame::normal()));
        self.link = Link::Retired;
    }

    fn finish(&mut self) {
        self.link = Link::Over;
        self.timers.stop_all();
        self.events.push_back(TtsEvent::Closed);
    }

    fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.events.push_back(TtsEvent::Warning { code, message: message.into() });
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Clear => {
                self.warn(codes::NO_CLEARED, format!("no `cleared` within {:?}", self.config.clear_timeout));
                self.retire(Truncation::LinkLost);
            }
            Timer::Close => {
                self.outbox.push_back(Message::Close(CloseFrame::normal()));
                self.finish();
            }
            Timer::Keepalive => {
                self.outbox.push_back(Message::Text(encode(&ToTts::Keepalive)));
                self.timers.set(Timer::Keepalive, self.now + self.config.keepalive);
            }
            Timer::Quiet => self.link = Link::Ready,
            Timer::Ready => {
                self.warn(codes::NO_READY, format!("no `ready` within {:?}", self.config.ready_timeout));
                self.retire(Truncation::LinkLost);
            }
            Timer::Settle => self.on_settled(),
            Timer::Terminal => self.on_silence(),
        }
    }

    /// A flushed turn fell silent.
    fn on_silence(&mut self) {
        let Some(turn) = &self.turn else { return };
        if let Some(kind) = turn.ended_by {
            // Fewer end markers than messages, but nothing more comes.
            return self.end_turn(kind);
        }
        let limit = self.config.terminal_timeout;
        if turn.flush == Some(FlushForm::Standalone) && !self.inline_only {
            self.inline_only = true;
            self.warn(codes::FLUSH_IGNORED, format!("no answer to a standalone `flush` within {limit:?}"));
        } else {
            self.warn(codes::NO_TERMINAL, format!("no end of the utterance within {limit:?}"));
        }
        self.retire(Truncation::WentSilent);
    }

    /// Ends every run at the front that has nothing left to voice.
    fn settle_runs(&mut self) {
        while self.turn.is_none() && self.text.front().is_some_and(|run| run.flushed && !run.has_more()) {
            let Some(run) = self.text.pop() else { return };
            let duration = duration_of(&self.config, run.made);
            self.events.push_back(TtsEvent::UtteranceEnd { utterance: run.utterance, duration });
        }
    }

    fn policy(&self) -> FlushPolicy {
        let asked = self.config.flush_policy;
        if self.inline_only && asked == FlushPolicy::AsGiven { FlushPolicy::Batch } else { asked }
    }

    /// The next text or flush, if one may go out now.
    fn next_text(&mut self) -> Option<Message> {
        if self.link != Link::Ready || self.turn.as_ref().is_some_and(|turn| turn.flush.is_some()) {
            return None;
        }
        let policy = self.policy();
        let run = self.text.front_mut()?;
        let (message, flush) = match run.next_piece(policy, self.config.max_text) {
            Some(piece) => {
                run.taken = piece.range.end;
                let text = &run.text[piece.range];
                let text = if piece.flush { text.trim() } else { text };
                let turn = self.turn.get_or_insert_with(Turn::new);
                turn.messages += 1;
                (ToTts::Text { text, flush: piece.flush }, piece.flush.then_some(FlushForm::Inline))
            }
            None if self.turn.is_some() && run.flushed => (ToTts::Flush, Some(FlushForm::Standalone)),
            None => return None,
        };
        let message = Message::Text(encode(&message));
        if let (Some(turn), Some(_)) = (&mut self.turn, flush) {
            turn.flush = flush;
            self.timers.set(Timer::Terminal, self.now + self.config.terminal_timeout);
        }
        Some(message)
    }

    fn advance_clock(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }
}

impl Turn {
    const fn new() -> Self {
        Self { messages: 0, flush: None, bytes: 0, ends: 0, ended_by: None }
    }
}

impl Machine for TtsClient {
    type Command = TtsCommand;
    type Event = TtsEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.advance_clock(now);
        match (self.link, input) {
            (Link::Over, _) => {}
            (_, Input::Opened) => self.on_opened(),
            (_, Input::Closed(frame)) => self.on_closed(frame),
            (Link::Down | Link::Retired, Input::Text(_)) => {}
            (_, Input::Text(text)) => self.on_text(text)?,
            (_, Input::Binary(audio)) => self.on_binary(audio)?,
        }
        self.settle_runs();
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: TtsCommand) -> Result<(), CommandError> {
        self.advance_clock(now);
        if matches!(self.link, Link::Closing | Link::Over) {
            return Err(CommandError::Closed);
        }
        match command {
            TtsCommand::Clear => self.on_clear(),
            TtsCommand::Close => self.on_close(),
            TtsCommand::Flush => self.text.flush(),
            TtsCommand::Speak { utterance, text } => {
                self.check_text(utterance, &text)?;
                self.text.push(utterance, &text);
            }
        }
        self.settle_runs();
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.advance_clock(now);
        while let Some(timer) = self.timers.expired(self.now) {
            self.on_timer(timer);
        }
        self.settle_runs();
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.outbox.pop_front().or_else(|| self.next_text())
    }

    fn poll_event(&mut self) -> Option<TtsEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_finished(&self) -> bool {
        self.link == Link::Over && self.events.is_empty() && self.outbox.is_empty()
    }

    fn close_command() -> Option<TtsCommand> {
        Some(TtsCommand::Close)
    }

    fn is_perishable(event: &TtsEvent) -> bool {
        match event {
            TtsEvent::Audio { .. }
            | TtsEvent::Truncated { .. }
            | TtsEvent::UtteranceEnd { .. }
            | TtsEvent::Words { .. } => true,
            TtsEvent::Cleared { .. }
            | TtsEvent::Closed
            | TtsEvent::Garbled { .. }
            | TtsEvent::LinkLost(_)
            | TtsEvent::Ready { .. }
            | TtsEvent::Unhandled { .. }
            | TtsEvent::Warning { .. } => false,
        }
    }
}

fn duration_of(config: &TtsConfig, bytes: u64) -> Duration {
    let width = config.format.encoding.bytes_per_sample() as u64;
    config.format.rate.duration_of(bytes / width)
}

/// Links on which a text is tried before it is given up: the vendor's own client stops after as many.
const MAX_ATTEMPTS: u32 = 3;
/// Messages in a row that may fail to parse.
const MAX_GARBLED: usize = 100;
/// Silence after an end marker that proves it was the turn's last, on a route not yet known.
const SETTLE: Duration = Duration::from_millis(300);
