//! Our side of one phone stream: Plivo dials, we answer.

mod config;
mod event;
mod inbound;
mod links;
mod receive;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::playout::{Heard, Outgoing, Playout};
use super::types::{CheckpointName, DegradedLevel, Digit, StreamInfo};
use super::wire;
use crate::{
    CloseFrame, Code, CommandError, Input, LinkLife, Machine, Message, ProtocolError, TimerKind, Timers,
};

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

    /// Queues audio in the stream's own format.
    ///
    /// # Errors
    /// The stream has not started or is over; the audio is not whole samples or begins with a WAV
    /// header; the queue is full.
    pub fn play(&mut self, now: Instant, audio: Bytes) -> Result<(), CommandError> {
        let limit = self.config.max_queued;
        let playout = self.started(now)?;
        if !audio.len().is_multiple_of(playout.format().encoding.bytes_per_sample()) {
            return Err(CommandError::PartialSample { got: audio.len() });
        }
        if is_wav(&audio) {
            return Err(CommandError::WouldRefuse {
                code: Code::new("plivo/incorrect-payload"),
                seen: "audio begins with a WAV header".to_owned(),
                remedy: "give raw samples",
            });
        }
        if playout.queued() + playout.format().duration_of(audio.len()) > limit {
            let limit = usize::try_from(limit.as_millis()).unwrap_or(usize::MAX);
            return Err(CommandError::QueueFull { limit, unit: "ms of audio" });
        }
        if !audio.is_empty() {
            playout.play(audio);
        }
        Ok(())
    }

    /// Sets a mark behind everything queued so far.
    ///
    /// # Errors
    /// The stream has not started or is over; the name is longer than 1,024 bytes; too many marks are pending.
    pub fn checkpoint(&mut self, now: Instant, name: impl Into<CheckpointName>) -> Result<(), CommandError> {
        let name = name.into();
        let playout = self.started(now)?;
        check_length("checkpoint", name.as_str().len())?;
        if playout.pending_marks() >= MAX_MARKS {
            return Err(CommandError::QueueFull { limit: MAX_MARKS, unit: "checkpoints" });
        }
        playout.checkpoint(name);
        Ok(())
    }

    /// Barge-in: drops what is queued here, and asks Plivo to drop what it holds. New audio may follow at once.
    ///
    /// # Errors
    /// The stream has not started or is over.
    pub fn clear(&mut self, now: Instant) -> Result<(), CommandError> {
        let now = self.advance(now);
        let playout = self.started(now)?;
        let clearing = playout.clear(now);
        let dropped = playout.format().duration_of(clearing.unheard.len());
        self.stats.clears += 1;
        self.events.push_back(PlivoEvent::Cleared {
            dropped,
            unheard: clearing.unheard,
            heard: clearing.heard,
            by: ClearedBy::Us,
        });
        self.skip(clearing.skipped, SkipReason::Cleared);
        if clearing.tell {
            let stream_id = self.info.as_ref().map_or("", |info| info.stream_id.as_str());
            self.urgent.push_back(Message::Text(wire::event("clearAudio", &[("streamId", stream_id)])));
        }
        self.settle_silent_clears();
        Ok(())
    }

    /// Sends key tones, at once and beside the audio queue.
    ///
    /// # Errors
    /// The stream is not live; nothing was pressed, or more than 1,024 keys; too many tones wait for the link.
    pub fn send_dtmf(&mut self, now: Instant, digits: &[Digit]) -> Result<(), CommandError> {
        self.started(now)?;
        if digits.is_empty() {
            return Err(CommandError::Invalid {
                field: "dtmf",
                seen: "empty".to_owned(),
                remedy: "give at least one key",
            });
        }
        check_length("dtmf", digits.len())?;
        if self.state != State::Live {
            return Err(CommandError::NotStarted);
        }
        if self.urgent.len() >= MAX_URGENT {
            return Err(CommandError::QueueFull { limit: MAX_URGENT, unit: "messages" });
        }
        let digits: String = digits.iter().map(|digit| digit.as_char()).collect();
        self.urgent.push_back(Message::Text(wire::event("sendDTMF", &[("dtmf", &digits)])));
        Ok(())
    }

    /// Ends the stream. What is still queued is lost.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        match self.state {
            State::AwaitingStart | State::Live => {
                self.drop_marks(SkipReason::Ended);
                self.urgent.clear();
                self.urgent.push_back(Message::Close(CloseFrame::normal()));
                self.timers.stop_all();
                self.timers.after(Timer::Close, now, self.config.close_timeout);
                self.state = State::Closing;
            }
            State::Down => self.finish(),
            State::Closing | State::Finished => {}
        }
    }

    /// Lowers the lead to what a congested Plivo can take, or restores it.
    fn degrade(&mut self, level: Option<DegradedLevel>) {
        self.lead = match level {
            None => self.config.lead,
            Some(DegradedLevel::Thirty) => self.config.lead * 3 / 4,
            Some(DegradedLevel::Sixty) => self.config.lead / 2,
            Some(DegradedLevel::Ninety) => self.config.lead / 4,
        };
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

    fn started(&mut self, now: Instant) -> Result<&mut Playout, CommandError> {
        self.advance(now);
        match self.state {
            State::AwaitingStart | State::Down | State::Live => {
                self.playout.as_mut().ok_or(CommandError::NotStarted)
            }
            State::Closing | State::Finished => Err(CommandError::Closed),
        }
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

/// Plivo takes no message of more than 64 KB, and an escaped character may take six bytes.
fn check_length(field: &'static str, bytes: usize) -> Result<(), CommandError> {
    if bytes <= MAX_NAME {
        return Ok(());
    }
    Err(CommandError::Invalid { field, seen: format!("{bytes} bytes long"), remedy: "give at most 1,024" })
}

/// Bytes of a mark's name, and keys of one message.
const MAX_NAME: usize = 1_024;
/// Marks that may be pending at once: an hour of sentences.
const MAX_MARKS: usize = 1_024;
/// Key tones and clears that may wait for the link.
const MAX_URGENT: usize = 64;
