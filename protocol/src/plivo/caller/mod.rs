//! Plivo's side of one phone stream, with a caller's ear and mouth: what the simulator is made of.

mod config;
mod event;
mod playback;
mod receive;
mod write;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::quirk::PlivoQuirk;
use super::types::{CheckpointName, DegradedLevel};
use crate::Dice;
use crate::{CloseFrame, CommandError, Input, Machine, Message, ProtocolError, TimerKind, Timers};

pub use config::PlivoCallerConfig;
pub use event::{CallerCommand, CallerEvent, DropReason, EarFrame, StreamStatus};
use playback::{FRAME, Heard, Playback};
use write::{Writer, has};

/// Plivo's calling side: dials, starts the stream, sends a media message every 20 ms, and plays what
/// it is sent to the caller's ear in real time.
///
/// Its [`Ear`](CallerEvent::Ear) frames are the ground truth of what the caller heard, to the sample.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_protocol::plivo::{CallerEvent, PlivoCaller, PlivoCallerConfig};
/// use voxline_protocol::{Input, Machine, Message};
///
/// let now = Instant::now();
/// let mut caller = PlivoCaller::new(PlivoCallerConfig::new("call", "stream"), now);
/// caller.handle_input(now, Input::Opened)?;
/// let Some(Message::Text(start)) = caller.poll_transmit() else { panic!() };
/// assert!(start.starts_with(r#"{"event":"start","sequenceNumber":1,"start":{"callId":"call""#));
///
/// caller.handle_timeout(now + Duration::from_millis(20))?;
/// let Some(Message::Text(media)) = caller.poll_transmit() else { panic!() };
/// assert!(media.contains(r#""chunk":1"#));
/// # Ok::<(), voxline_protocol::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct PlivoCaller {
    config: PlivoCallerConfig,
    state: State,
    now: Instant,
    began: Option<Instant>,
    ticks: u64,
    losses: u32,
    /// We broke the link ourselves: that it ends is no second loss.
    broken: bool,
    was_live: bool,
    writer: Writer,
    microphone: BytesMut,
    playback: Playback,
    acks: u64,
    /// Messages for the link, and whether each is media.
    outbox: VecDeque<(bool, Message)>,
    media_waiting: u32,
    held_back: Vec<Message>,
    degraded: usize,
    events: VecDeque<CallerEvent>,
    timers: Timers<Timer>,
    dice: Dice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closing,
    Dialing,
    Finished,
    Live,
}

#[derive(Debug, Clone, Copy)]
enum Timer {
    /// The server did not answer our close: the stream is over all the same.
    Close,
    /// Nobody dialled again: the stream is dropped.
    Redial,
    /// 20 ms of the call are over: the microphone speaks, the ear hears.
    Tick,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Close, Self::Redial, Self::Tick];

    fn index(self) -> usize {
        self as usize
    }
}

impl PlivoCaller {
    /// A caller whose link is yet to open.
    #[must_use]
    pub fn new(config: PlivoCallerConfig, now: Instant) -> Self {
        let mut timers = Timers::new();
        timers.after(Timer::Redial, now, DIAL_PATIENCE);
        Self {
            state: State::Dialing,
            now,
            began: None,
            ticks: 0,
            losses: 0,
            broken: false,
            was_live: false,
            writer: Writer::new(&config),
            microphone: BytesMut::new(),
            playback: Playback::new(config.format, now),
            acks: 0,
            outbox: VecDeque::new(),
            media_waiting: 0,
            held_back: Vec::new(),
            degraded: 0,
            events: VecDeque::new(),
            timers,
            dice: Dice::new(config.seed),
            config,
        }
    }

    /// How much of what the server sent the caller has heard, as of the last call.
    #[must_use]
    pub fn played(&self) -> Duration {
        self.playback.played()
    }

    /// How much audio waits to be heard.
    #[must_use]
    pub fn queued(&self) -> Duration {
        self.playback.queued()
    }

    fn speak(&mut self, audio: &Bytes) -> Result<(), CommandError> {
        if !audio.len().is_multiple_of(self.config.format.encoding.bytes_per_sample()) {
            return Err(CommandError::PartialSample { got: audio.len() });
        }
        if self.microphone.len() + audio.len() > self.config.format.bytes_in(MICROPHONE) {
            return Err(CommandError::QueueFull { limit: MICROPHONE.as_secs() as usize, unit: "s of audio" });
        }
        self.microphone.extend_from_slice(audio);
        Ok(())
    }

    fn hang_up(&mut self) {
        if self.state == State::Live {
            if self.has(PlivoQuirk::StopEvent) {
                self.send(Writer::bare("stop"));
            }
            let abrupt = self.has(PlivoQuirk::AbruptClose);
            let frame = if abrupt { CloseFrame::new(ABRUPT, "") } else { CloseFrame::normal() };
            self.status(StreamStatus::Stopped);
            self.begin_close(frame);
        } else {
            self.finish();
        }
    }

    fn begin_close(&mut self, frame: CloseFrame) {
        self.outbox.push_back((false, Message::Close(frame)));
        self.state = State::Closing;
        self.timers.after(Timer::Close, self.now, CLOSE_PATIENCE);
    }

    fn finish(&mut self) {
        if self.state != State::Finished {
            self.state = State::Finished;
            self.timers.stop_all();
            self.events.extend(self.playback.flush().map(CallerEvent::Ear));
            self.events.push_back(CallerEvent::Closed);
        }
    }

    fn has(&self, quirk: PlivoQuirk) -> bool {
        has(&self.config, quirk)
    }

    fn struck(&mut self, quirk: PlivoQuirk, times: u64) -> bool {
        self.has(quirk) && self.dice.once_in(times)
    }

    fn status(&mut self, status: StreamStatus) {
        let times = if self.has(PlivoQuirk::RepeatedCallbacks) { 2 } else { 1 };
        self.events.extend((0..times).map(|_| CallerEvent::Status(status)));
    }

    fn send(&mut self, text: String) {
        self.outbox.push_back((false, Message::Text(text)));
    }

    fn on_opened(&mut self) {
        if matches!(self.state, State::Closing | State::Finished) {
            return;
        }
        self.timers.stop(Timer::Redial);
        self.state = State::Live;
        self.broken = false;
        self.writer = Writer::new(&self.config);
        self.outbox.clear();
        self.media_waiting = 0;
        self.degraded = 0;
        if self.began.is_none() {
            self.began = Some(self.now);
            self.playback = Playback::new(self.config.format, self.now);
            self.timers.after(Timer::Tick, self.now, FRAME);
        }
        if !self.was_live {
            self.was_live = true;
            self.status(StreamStatus::Started);
        }
        let starts = if self.has(PlivoQuirk::RepeatedStart) { 2 } else { 1 };
        for _ in 0..starts {
            let start = self.writer.start(&self.config);
            self.send(start);
        }
        self.events.push_back(CallerEvent::Started);
    }

    fn on_closed(&mut self, close: Option<CloseFrame>) {
        if std::mem::take(&mut self.broken) {
            return;
        }
        match self.state {
            State::Closing => self.finish(),
            State::Finished => {}
            State::Live if close.as_ref().is_some_and(|frame| frame.code == CloseFrame::NORMAL) => {
                self.status(StreamStatus::Stopped);
                self.finish();
            }
            State::Dialing | State::Live => self.lose_link(close),
        }
    }

    fn lose_link(&mut self, close: Option<CloseFrame>) {
        self.playback.clear();
        self.outbox.clear();
        self.media_waiting = 0;
        self.held_back.clear();
        self.losses += 1;
        self.state = State::Dialing;
        self.events.push_back(CallerEvent::LinkLost(close));
        if self.losses > REDIALS {
            let reason = if self.was_live { DropReason::Streaming } else { DropReason::Initiation };
            self.status(StreamStatus::Dropped(reason));
            self.finish();
        } else {
            let after = self.config.redial_delay;
            self.timers.after(Timer::Redial, self.now, after.saturating_add(DIAL_PATIENCE));
            self.events.push_back(CallerEvent::Redial { attempt: self.losses, after });
        }
    }

    /// Plays up to now.
    fn hear(&mut self) {
        if self.began.is_none() || self.state == State::Finished {
            return;
        }
        let mut reached = Vec::new();
        let events = &mut self.events;
        self.playback.advance(self.now, |heard| match heard {
            Heard::Frame(frame) => events.push_back(CallerEvent::Ear(frame)),
            Heard::Mark(name) => reached.push(name),
        });
        for name in reached {
            self.acks += 1;
            let lost =
                self.has(PlivoQuirk::AcksLost) || (self.has(PlivoQuirk::FirstAckLost) && self.acks == 1);
            if self.state == State::Live && !lost {
                let text = self.writer.played(&self.config, &name);
                self.send(text);
            }
            self.events.push_back(CallerEvent::Reached(CheckpointName::from(name)));
        }
    }

    fn millis(&self) -> u64 {
        self.config.epoch.saturating_add(FRAME.saturating_mul(self.ticks as u32)).as_millis() as u64
    }

    fn tick(&mut self) {
        let Some(began) = self.began else { return };
        self.ticks += 1;
        self.timers.set(Timer::Tick, began + FRAME.saturating_mul(self.ticks as u32 + 1));
        let wanted = self.config.format.bytes_in(FRAME);
        let mut audio = self.microphone.split_to(wanted.min(self.microphone.len()));
        audio.resize(wanted, self.config.format.encoding.silence_byte());
        if self.state == State::Live {
            self.send_media(&audio);
            self.strike();
        }
    }

    fn send_media(&mut self, audio: &[u8]) {
        if self.struck(PlivoQuirk::LostMedia, 33) {
            self.writer.skip_media();
            return;
        }
        let text = Message::Text(self.writer.media(&self.config, self.millis(), audio));
        self.held_back.push(text);
        if self.has(PlivoQuirk::LateMedia) && self.held_back.len() < 5 {
            return;
        }
        let waiting = self.held_back.len() as u32;
        self.outbox.extend(self.held_back.drain(..).map(|message| (true, message)));
        self.media_waiting += waiting;
        self.watch_reader();
    }

    /// Reports a slow reader at 30, 60 and 90 %, and cuts it at 100 %.
    fn watch_reader(&mut self) {
        let behind = FRAME * self.media_waiting;
        if behind >= self.config.egress_capacity {
            self.outbox.clear();
            self.media_waiting = 0;
            self.status(StreamStatus::Dropped(DropReason::TooSlow));
            self.begin_close(CloseFrame::new(CloseFrame::POLICY_VIOLATION, "too slow"));
            return;
        }
        let percent = behind.as_millis() * 100 / self.config.egress_capacity.as_millis().max(1);
        let level = DegradedLevel::ALL.iter().filter(|level| percent >= u128::from(level.percent())).count();
        for level in &DegradedLevel::ALL[self.degraded.min(level)..level] {
            self.status(StreamStatus::Degraded(*level));
        }
        self.degraded = if level == 0 { 0 } else { self.degraded.max(level) };
    }

    /// Lets random quirks happen.
    fn strike(&mut self) {
        if self.struck(PlivoQuirk::UnknownEvents, 40) {
            self.send(r#"{"event":"weather","weather":{"sky":"blue"}}"#.to_owned());
        }
        if self.struck(PlivoQuirk::MuteEvents, 100) {
            self.send(Writer::bare("muteStream"));
            self.send(Writer::bare("unmuteStream"));
        }
        if self.struck(PlivoQuirk::UnsolicitedClear, 150) {
            let (dropped, _) = self.playback.clear();
            let text = self.writer.cleared(&self.config);
            self.send(text);
            self.events.push_back(CallerEvent::Cleared { dropped, asked: false });
        }
        if self.losses < REDIALS && self.struck(PlivoQuirk::Redials, 150) {
            self.lose_link(None);
            self.broken = true;
            self.outbox.push_back((false, Message::Close(CloseFrame::new(ABRUPT, ""))));
        }
    }
}

impl Machine for PlivoCaller {
    type Command = CallerCommand;
    type Event = CallerEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        self.hear();
        match (self.state, input) {
            (_, Input::Opened) => self.on_opened(),
            (_, Input::Closed(close)) => self.on_closed(close),
            (State::Live, Input::Text(text)) => self.on_text(text),
            (State::Live, Input::Binary(_)) => {
                self.events.push_back(CallerEvent::Unhandled { kind: "binary message".to_owned() });
            }
            (State::Closing | State::Dialing | State::Finished, Input::Text(_) | Input::Binary(_)) => {}
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: CallerCommand) -> Result<(), CommandError> {
        self.now = self.now.max(now);
        self.hear();
        if matches!(self.state, State::Closing | State::Finished) {
            return Err(CommandError::Closed);
        }
        match command {
            CallerCommand::HangUp => self.hang_up(),
            CallerCommand::Press(digit) if self.state == State::Live => {
                let text = self.writer.dtmf(&self.config, self.millis(), digit);
                self.send(text);
            }
            CallerCommand::Press(_) => return Err(CommandError::NotStarted),
            CallerCommand::Speak(audio) => self.speak(&audio)?,
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        self.hear();
        while let Some(timer) = self.timers.expired(self.now) {
            match timer {
                Timer::Close => self.finish(),
                Timer::Redial => {
                    self.losses = REDIALS;
                    self.lose_link(None);
                }
                Timer::Tick => self.tick(),
            }
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        let (media, message) = self.outbox.pop_front()?;
        if media {
            self.media_waiting -= 1;
        }
        Some(message)
    }

    fn poll_event(&mut self) -> Option<CallerEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_finished(&self) -> bool {
        self.state == State::Finished && self.events.is_empty()
    }

    fn close_command() -> Option<CallerCommand> {
        Some(CallerCommand::HangUp)
    }
}

/// Plivo dials twice more.
const REDIALS: u32 = 2;
/// How long a dial may take before nobody believes in it.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Audio the microphone may hold.
const MICROPHONE: Duration = Duration::from_secs(600);
/// Stands for a link that broke: a machine cannot send the absence of a close frame.
const ABRUPT: u16 = 1001;
