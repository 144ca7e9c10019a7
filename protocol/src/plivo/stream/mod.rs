//! Our side of one phone stream: Plivo dials, we answer.

mod commands;
mod config;
mod event;
mod inbound;
mod links;
mod receive;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::playout::{Heard, Outgoing, Playout};
use super::types::{CheckpointName, StreamInfo};
use super::wire;
use crate::{CommandError, Input, LinkLife, Machine, Message, ProtocolError, TimerKind, Timers};

pub use config::PlivoConfig;
pub use event::{ClearedBy, LossCause, PlivoCommand, PlivoEvent, PlivoStats, SkipReason};
use inbound::TrackClock;

/// Server side of one Plivo audio stream, over as many links as the call takes.
///
/// Audio given by [`play`](Self::play) leaves paced: the first frame at once, then at most
/// [`lead`](PlivoConfig::lead) ahead of the caller's ear, so that a [`clear`](Self::clear) still has
/// most of it in hand. Marks stand in the same queue. When the link is lost, what the caller has not
/// heard goes back to the head of the queue and leaves again once Plivo has dialled a new link for
/// the same call.
///
/// What Plivo gets wrong, or whoever pretends to be Plivo, does not end the call where it can go on:
///
/// | what arrives | what is told | and then |
/// | --- | --- | --- |
/// | `media` before `start` | [`Unexpected`](PlivoEvent::Unexpected) | it is left out |
/// | half a sample at the end of linear audio | [`Garbled`](PlivoEvent::Garbled) | the whole samples are taken |
/// | a WAV header, rubbish in base64, no JSON, over 64 KB | [`Garbled`](PlivoEvent::Garbled) | the message is left out |
/// | base64 without padding | nothing | it is audio |
/// | an unknown track or message type, `start` twice | [`Unhandled`](PlivoEvent::Unhandled) | it is left out |
/// | a second `start` in another format | [`Cleared`](PlivoEvent::Cleared) by `Restart`, `Started` | the new format counts |
/// | timestamps that leap by a minute or go back | nothing | only counts tell holes |
/// | `start` of another call, or in a format unknown to us | an error | the link is closed by policy (1008) |
///
/// Forged and replayed requests never come this far: see [`SignatureError`](super::SignatureError).
///
/// ```
/// use std::time::Instant;
/// use voxline_protocol::plivo::{PlivoConfig, PlivoEvent, PlivoStream};
/// use voxline_protocol::{Input, Machine, Message};
///
/// let now = Instant::now();
/// let mut stream = PlivoStream::new(PlivoConfig::default(), now);
/// stream.handle_input(now, Input::Opened)?;
/// stream.handle_input(now, Input::Text(
///     r#"{"event":"start","start":{"callId":"c","streamId":"s",
///         "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}}}"#,
/// ))?;
/// assert!(matches!(stream.poll_event(), Some(PlivoEvent::Started(_))));
///
/// stream.play(now, vec![0xff; 160].into()).unwrap();
/// let Some(Message::Text(text)) = stream.poll_transmit() else { panic!() };
/// assert!(text.starts_with(r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":8000"#));
/// # Ok::<(), voxline_protocol::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct PlivoStream {
    config: PlivoConfig,
    state: State,
    now: Instant,
    life: LinkLife,
    info: Option<StreamInfo>,
    playout: Option<Playout>,
    lead: Duration,
    clocks: [TrackClock; 2],
    /// Links of this stream that were lost.
    losses: u32,
    last_input: Instant,
    /// Unanswered clears that were given up: so many late answers mean nothing.
    forgiven: u32,
    last_settled: Option<Instant>,
    urgent: VecDeque<Message>,
    events: VecDeque<PlivoEvent>,
    timers: Timers<Timer>,
    stats: PlivoStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A link is open and has not said `start`.
    AwaitingStart,
    /// Our close is on its way.
    Closing,
    /// Between two links of a call, or before the first.
    Down,
    Finished,
    Live,
}

impl State {
    const fn describe(self) -> &'static str {
        match self {
            Self::AwaitingStart => "awaiting `start`",
            Self::Closing => "closing",
            Self::Down => "without a link",
            Self::Finished => "finished",
            Self::Live => "streaming",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Timer {
    /// The peer did not answer our close: the stream is over all the same.
    Close,
    /// No media for the limit: the link is given up.
    Media,
    /// Plivo did not dial again: the call is over.
    Redial,
    /// No `start`: a first link fails the session, a redialled one counts as lost.
    Start,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Close, Self::Media, Self::Redial, Self::Start];

    fn index(self) -> usize {
        self as usize
    }
}

impl PlivoStream {
    /// A stream whose link is yet to open.
    #[must_use]
    pub fn new(config: PlivoConfig, now: Instant) -> Self {
        // The fields are public.
        let config = config.within_bounds();
        let mut timers = Timers::new();
        timers.after(Timer::Start, now, config.start_timeout);
        Self {
            state: State::Down,
            now,
            life: LinkLife::FIRST,
            info: None,
            playout: None,
            lead: config.lead,
            clocks: [TrackClock::default(); 2],
            losses: 0,
            last_input: now,
            forgiven: 0,
            last_settled: None,
            urgent: VecDeque::new(),
            events: VecDeque::new(),
            timers,
            stats: PlivoStats::default(),
            config,
        }
    }

    /// What `start` said. `None` until it arrived.
    #[must_use]
    pub const fn info(&self) -> Option<&StreamInfo> {
        self.info.as_ref()
    }

    /// Audio queued here and not yet sent.
    #[must_use]
    pub fn queued(&self) -> Duration {
        self.playout.as_ref().map_or(Duration::ZERO, Playout::queued)
    }

    /// Audio sent and not yet played, as estimated: what Plivo holds, or the network does.
    #[must_use]
    pub fn at_peer(&self, now: Instant) -> Duration {
        self.playout.as_ref().map_or(Duration::ZERO, |playout| playout.at_peer(now.max(self.now)))
    }

    /// How much of all that was played the caller has heard by `now`, with its error bound.
    ///
    /// Every clear leaves its own uncertainty behind; what was heard since the last one is
    /// [`heard_since_clear`](Self::heard_since_clear).
    #[must_use]
    pub fn heard(&self, now: Instant) -> Heard {
        self.playout.as_ref().map_or_else(Heard::default, |playout| playout.heard(now.max(self.now)))
    }

    /// How much the caller has heard since the last clear, or since the link came back.
    #[must_use]
    pub fn heard_since_clear(&self, now: Instant) -> Heard {
        let heard = |playout: &Playout| playout.heard_of_segment(now.max(self.now));
        self.playout.as_ref().map_or_else(Heard::default, heard)
    }

    /// The round trip the last acknowledgements showed, or a guess before the first.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.playout.as_ref().map(Playout::round_trip)
    }

    /// Counters so far.
    #[must_use]
    pub const fn stats(&self) -> PlivoStats {
        self.stats
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn skip(&mut self, names: Vec<CheckpointName>, why: SkipReason) {
        self.events.extend(names.into_iter().map(|name| PlivoEvent::Skipped { name, why }));
    }
}

impl Machine for PlivoStream {
    type Command = PlivoCommand;
    type Event = PlivoEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.advance(now);
        match (self.state, input) {
            (State::Finished, _) => {}
            (_, Input::Opened) => self.on_opened(),
            (_, Input::Closed(close)) => self.on_closed(close),
            (State::AwaitingStart | State::Live, Input::Text(text)) => {
                self.last_input = self.now;
                return self.on_text(text);
            }
            (State::AwaitingStart | State::Live, Input::Binary(_)) => self.on_unhandled("binary message"),
            // What an abandoned link still delivers belongs to no life.
            (State::Closing | State::Down, Input::Text(_) | Input::Binary(_)) => {}
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: PlivoCommand) -> Result<(), CommandError> {
        if matches!(self.state, State::Closing | State::Finished) {
            self.advance(now);
            return Err(CommandError::Closed);
        }
        match command {
            PlivoCommand::Clear => self.clear(now),
            PlivoCommand::Checkpoint(name) => self.checkpoint(now, name),
            PlivoCommand::Close => {
                self.close(now);
                Ok(())
            }
            PlivoCommand::Degraded(level) => {
                self.advance(now);
                self.degrade(level);
                Ok(())
            }
            PlivoCommand::Play(audio) => self.play(now, audio),
            PlivoCommand::SendDtmf(digits) => self.send_dtmf(now, &digits),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.advance(now);
        while let Some(timer) = self.timers.expired(self.now) {
            self.fire(timer)?;
        }
        self.expire();
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        if let Some(message) = self.urgent.pop_front() {
            return Some(message);
        }
        if self.state != State::Live {
            return None;
        }
        let outgoing = self.playout.as_mut()?.next(self.now, self.lead, self.config.frame)?;
        Some(Message::Text(match outgoing {
            Outgoing::Audio { text, bytes } => {
                self.stats.frames += 1;
                self.stats.audio_bytes += bytes as u64;
                text
            }
            Outgoing::Mark(name) => {
                let stream_id = self.info.as_ref().map_or("", |info| info.stream_id.as_str());
                wire::event("checkpoint", &[("streamId", stream_id), ("name", &name)])
            }
        }))
    }

    fn poll_event(&mut self) -> Option<PlivoEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let live = self.playout.as_ref().filter(|_| self.state == State::Live);
        let paced = live.and_then(|playout| playout.departure(self.now, self.lead, self.config.frame));
        // Audio that may leave already waits for the link, not for the clock.
        let paced = paced.filter(|at| *at > self.now);
        let mark = live.and_then(|playout| playout.mark_deadline(self.config.checkpoint_timeout));
        let clear =
            live.and_then(Playout::oldest_clear).and_then(|at| at.checked_add(self.config.clear_timeout));
        [self.timers.next(), paced, mark, clear].into_iter().flatten().min()
    }

    fn is_finished(&self) -> bool {
        self.state == State::Finished && self.events.is_empty()
    }

    fn close_command() -> Option<PlivoCommand> {
        Some(PlivoCommand::Close)
    }

    fn is_perishable(_event: &PlivoEvent) -> bool {
        // The caller's audio outlives a barge-in: it is what the caller said to interrupt us.
        false
    }
}

/// Whether audio begins like a RIFF file instead of with samples.
fn is_wav(audio: &[u8]) -> bool {
    audio.starts_with(b"RIFF") && audio.get(8..12) == Some(b"WAVE")
}
