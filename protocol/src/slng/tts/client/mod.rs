//! The application's side of a speech session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::turn::{Leftover, Terminals, Turn};
use super::intake::Intake;
use super::text::TextQueue;
use super::{TtsCommand, TtsConfig, TtsEvent, TtsStats};
use crate::{
    CommandError, Input, LinkLife, LinkProof, Machine, Message, ProtocolError, TimerKind, Timers, UtteranceId,
};

mod link;
mod turn;

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
    /// Whether this link has carried audio.
    useful: bool,
    /// A wait the gateway asked for, until it is polled.
    stated_wait: Option<Duration>,
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
            useful: false,
            stated_wait: None,
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

    fn advance_clock(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }
}

impl Machine for TtsClient {
    type Command = TtsCommand;
    type Event = TtsEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.advance_clock(now);
        match (self.link, input) {
            // What was on its way belongs to a link that is gone, our own close too.
            (Link::Over, Input::Closed(_) | Input::Opened) => self.outbox.clear(),
            (Link::Over, Input::Binary(_) | Input::Text(_)) => {}
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

    fn link_proof(&self) -> LinkProof {
        match self.link {
            Link::Clearing { .. } | Link::Quiet | Link::Ready if self.useful => LinkProof::Useful,
            Link::Clearing { .. } | Link::Quiet | Link::Ready => LinkProof::Ready,
            Link::AwaitingReady | Link::Closing | Link::Down | Link::Over | Link::Retired => {
                LinkProof::Opened
            }
        }
    }

    fn wants_link(&self) -> bool {
        self.turn.is_some() || self.text.front().is_some()
    }

    fn poll_hold(&mut self) -> Option<Duration> {
        self.stated_wait.take()
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
