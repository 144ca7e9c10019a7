//! The application's side of a recognition session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::hold::Hold;
use super::{SttCommand, SttConfig, SttEvent, SttStats};
use crate::{CommandError, Input, LinkLife, LinkProof, Machine, Message, ProtocolError, TimerKind, Timers};

mod cover;
mod link;
mod send;

/// Audio in, text out, over as many links as it takes.
///
/// Every sample has a position, counted from the first one given, and is held until a final
/// transcript covers it. After a lost link what is held goes out again, faster than real time but
/// never in one burst, and then audio is live without a seam (R07, R08).
///
/// **What a final covers.** The gateway does not say, so the best evidence at hand decides:
///
/// 1. a span in the message (`start` and `duration` of a native `Results`): up to its end;
/// 2. word times: up to the end of the last word;
/// 3. neither, but a finalize is unanswered: what had been given when it was asked;
/// 4. neither: what had been sent [`transit_margin`](SttConfig::transit_margin) before it arrived.
///
/// The first two are exact. The other two are wrong only if a speaker goes on without a pause while
/// the final travels. An empty final covers nothing. Where the model sends partials, audio
/// sent longer ago than [`quiet_after`](SttConfig::quiet_after) without one is silence, and covered.
///
/// ```
/// use std::time::Instant;
/// use voxline_audio::{AudioFormat, SampleRate};
/// use voxline_protocol::slng::{SttClient, SttCommand, SttConfig, SttEvent};
/// use voxline_protocol::{Input, Machine, Message};
///
/// let now = Instant::now();
/// let config = SttConfig::new(AudioFormat::linear16(SampleRate::Hz16000))?;
/// let mut stt = SttClient::new(config, now);
/// stt.handle_command(now, SttCommand::Audio(vec![0; 640].into()))?;
/// stt.handle_input(now, Input::Opened)?;
/// assert!(matches!(stt.poll_transmit(), Some(Message::Text(init)) if init.contains("init")));
/// assert_eq!(stt.poll_transmit(), None, "audio waits for `ready`");
/// stt.handle_input(now, Input::Text(r#"{"type":"ready","session_id":"s-1"}"#))?;
/// assert!(matches!(stt.poll_transmit(), Some(Message::Binary(audio)) if audio.len() == 640));
/// stt.handle_input(now, Input::Text(r#"{"type":"final_transcript","transcript":"hi"}"#))?;
/// assert!(matches!(stt.poll_event(), Some(SttEvent::Ready { .. })));
/// assert!(matches!(stt.poll_event(), Some(SttEvent::Final(said)) if said.text == "hi"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SttClient {
    config: SttConfig,
    now: Instant,
    link: Link,
    life: LinkLife,
    timers: Timers<Timer>,
    outbox: VecDeque<Message>,
    events: VecDeque<SttEvent>,
    hold: Hold,
    /// Everything before this is in a final, or silence.
    covered: u64,
    /// Position of the first sample of this link: where its own times begin.
    origin: u64,
    /// When what was sent, as far back as a rule looks.
    sends: VecDeque<(Instant, u64)>,
    /// When the next message may leave at the replay's pace.
    pace: Instant,
    marks: VecDeque<Mark>,
    /// Position of the last finalize that was answered.
    finalized: u64,
    /// The last final, and how much had been sent by then.
    last_final: Option<(String, u64)>,
    partial_pending: bool,
    partials_seen: bool,
    /// Whether this link has brought a transcript.
    useful: bool,
    /// A wait the gateway asked for, until it is polled.
    stated_wait: Option<Duration>,
    /// A link was lost, and what was held is not all sent again.
    behind: bool,
    close: Close,
    /// Links lost since the close was asked.
    lost_closing: u32,
    garbled_in_a_row: usize,
    stats: SttStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    AwaitingReady,
    Down,
    /// The session is over.
    Over,
    Ready,
    /// We closed it and wait for its end.
    Retired,
}

/// How far the end of the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    NotAsked,
    /// Audio is still to be sent.
    Asked,
    /// `close` was sent on this link.
    Sent,
}

/// A finalize.
#[derive(Debug)]
struct Mark {
    /// What had been given when it was asked.
    position: u64,
    /// Whether it was sent on this link.
    sent: bool,
    /// Links on which it was sent.
    tries: u32,
}

/// The waits of a recognition session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The end of the session makes no progress: it ends now.
    Close,
    /// A finalize is unanswered: the application is told.
    Final,
    /// Nothing was sent for long: `keepalive` is due.
    Keepalive,
    /// The next message may leave.
    Pace,
    /// `ready` is late: the link is replaced.
    Ready,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Close, Self::Final, Self::Keepalive, Self::Pace, Self::Ready];

    fn index(self) -> usize {
        self as usize
    }
}

impl SttClient {
    /// A session without a link yet. Commands are taken at once.
    #[must_use]
    pub fn new(mut config: SttConfig, now: Instant) -> Self {
        // The field is public, and the pace divides by it.
        config.replay_speed =
            if config.replay_speed >= LEAST_SPEED { config.replay_speed } else { LEAST_SPEED };
        Self {
            config,
            now,
            link: Link::Down,
            life: LinkLife::FIRST,
            timers: Timers::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            hold: Hold::default(),
            covered: 0,
            origin: 0,
            sends: VecDeque::new(),
            pace: now,
            marks: VecDeque::new(),
            finalized: 0,
            last_final: None,
            partial_pending: false,
            partials_seen: false,
            useful: false,
            stated_wait: None,
            behind: false,
            close: Close::NotAsked,
            lost_closing: 0,
            garbled_in_a_row: 0,
            stats: SttStats::default(),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> SttStats {
        self.stats
    }

    /// How many links there have been.
    #[must_use]
    pub const fn life(&self) -> LinkLife {
        self.life
    }

    /// Samples given so far: the position of the next one.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.hold.end()
    }

    /// Position up to which everything is in a final, or silence.
    #[must_use]
    pub const fn covered(&self) -> u64 {
        self.covered
    }

    /// Audio given and not yet sent on this link.
    #[must_use]
    pub const fn backlog(&self) -> Duration {
        self.config.rate.duration_of(self.hold.unsent())
    }

    fn on_audio(&mut self, audio: Bytes) -> Result<(), CommandError> {
        if !audio.len().is_multiple_of(2) {
            return Err(CommandError::PartialSample { got: audio.len() });
        }
        let samples = (audio.len() / 2) as u64;
        let limit = self.config.rate.samples_in(self.config.max_held);
        // A live link drains the queue, so the caller can wait; during an outage live audio cannot.
        let waiting = if self.link == Link::Ready { self.hold.unsent() } else { 0 };
        if waiting + samples > limit {
            let limit = usize::try_from(self.config.max_held.as_millis()).unwrap_or(usize::MAX);
            return Err(CommandError::QueueFull { limit, unit: "ms of audio" });
        }
        self.stats.given += samples;
        self.hold.push(audio);
        self.cover_silence();
        if self.hold.len() > limit {
            self.give_up(self.hold.len() - limit);
        }
        Ok(())
    }

    /// Makes room for `samples`, and a little more so that it is not asked for each message.
    fn give_up(&mut self, samples: u64) {
        let step = samples.max(self.config.rate.samples_in(GIVE_UP_STEP)).min(self.hold.len());
        let (from, unsent_from) = (self.hold.start(), self.hold.next());
        let to = from + step;
        if self.link == Link::Ready {
            // What was sent may yet be covered; only a lost link turns this into a loss.
            self.hold.release_to(to.min(unsent_from));
            return;
        }
        self.hold.release_to(to);
        self.drop_span(self.covered.max(from), to);
        self.covered = self.covered.max(to);
    }

    fn drop_span(&mut self, from: u64, to: u64) {
        if from < to {
            self.events.push_back(SttEvent::Dropped { from, to });
        }
    }

    fn on_finalize(&mut self) {
        let position = self.hold.end();
        if self.marks.is_empty() && position == self.finalized {
            self.events.push_back(SttEvent::Finalized { position });
        } else if self.marks.back().is_none_or(|mark| mark.position < position) {
            self.marks.push_back(Mark { position, sent: false, tries: 0 });
        }
    }

    fn on_close(&mut self) {
        self.close = Close::Asked;
        let owed = self.hold.unsent() > 0 || self.partial_pending || !self.marks.is_empty();
        match self.link {
            Link::Down | Link::Retired if !owed => self.finish(),
            Link::AwaitingReady | Link::Down | Link::Over | Link::Ready | Link::Retired => self.progress(),
        }
    }

    /// The end of the session came nearer.
    fn progress(&mut self) {
        if self.close != Close::NotAsked {
            self.timers.after(Timer::Close, self.now, self.config.close_timeout);
        }
    }

    /// Ends without the gateway's word that it heard everything: what it did not answer for is lost aloud.
    fn abandon(&mut self) {
        self.cover_silence();
        self.drop_span(self.covered.max(self.finalized), self.hold.end());
        self.finish();
    }

    fn finish(&mut self) {
        self.link = Link::Over;
        self.timers.stop_all();
        self.events.push_back(SttEvent::Closed);
    }
}

impl Machine for SttClient {
    type Command = SttCommand;
    type Event = SttEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        match (self.link, input) {
            // What was on its way belongs to a link that is gone, our own close too.
            (Link::Over, Input::Closed(_) | Input::Opened) => self.outbox.clear(),
            (Link::Over, Input::Binary(_) | Input::Text(_)) => {}
            (_, Input::Opened) => self.on_opened(),
            (_, Input::Closed(frame)) => self.on_closed(frame),
            (Link::Down | Link::Retired, Input::Binary(_) | Input::Text(_)) => {}
            (Link::AwaitingReady | Link::Ready, Input::Text(text)) => self.on_text(text)?,
            (Link::AwaitingReady | Link::Ready, Input::Binary(_)) => self.unhandled("binary"),
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: SttCommand) -> Result<(), CommandError> {
        self.now = self.now.max(now);
        if self.link == Link::Over || self.close != Close::NotAsked {
            return Err(CommandError::Closed);
        }
        match command {
            SttCommand::Audio(audio) => self.on_audio(audio)?,
            SttCommand::Close => self.on_close(),
            SttCommand::Finalize => self.on_finalize(),
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
        self.outbox.pop_front().or_else(|| self.next_message())
    }

    fn poll_event(&mut self) -> Option<SttEvent> {
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
            Link::Ready if self.useful => LinkProof::Useful,
            Link::Ready => LinkProof::Ready,
            Link::AwaitingReady | Link::Down | Link::Over | Link::Retired => LinkProof::Opened,
        }
    }

    fn wants_link(&self) -> bool {
        self.hold.unsent() > 0 || !self.marks.is_empty() || self.close != Close::NotAsked
    }

    fn poll_hold(&mut self) -> Option<Duration> {
        self.stated_wait.take()
    }

    fn close_command() -> Option<SttCommand> {
        Some(SttCommand::Close)
    }
}

/// A replay at this speed hardly ever catches up; a slower one never does.
const LEAST_SPEED: f32 = 1.1;
/// How much is given up at once when too much is held.
const GIVE_UP_STEP: Duration = Duration::from_secs(1);
