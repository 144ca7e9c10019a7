//! The application's side of a recognition session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::hold::Hold;
use super::{SttCommand, SttConfig, SttEvent, SttStats};
use crate::slng::wire::{
    Speech, SttInit, SttInitConfig, SttMessage, ToStt, VendorError, encode, encoding_name, read_stt,
};
use crate::slng::{Transcript, Word, codes};
use crate::{
    CloseFrame, Code, CommandError, DecodeError, Input, LinkLife, Machine, Message, ProtocolError, TimerKind,
    Timers,
};

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
            self.timers.set(Timer::Close, self.now + self.config.close_timeout);
        }
    }

    /// Ends without the rest: what no link has carried is lost aloud.
    fn abandon(&mut self) {
        self.drop_span(self.hold.next(), self.hold.end());
        self.finish();
    }

    fn finish(&mut self) {
        self.link = Link::Over;
        self.timers.stop_all();
        self.events.push_back(SttEvent::Closed);
    }

    fn on_opened(&mut self) {
        match self.link {
            Link::Over => return,
            Link::Down => {}
            // A new link replaces the old one, whose end was not told.
            Link::AwaitingReady | Link::Ready | Link::Retired => self.on_closed(None),
        }
        if self.link == Link::Over {
            return;
        }
        self.life = self.life.next();
        self.link = Link::AwaitingReady;
        let config = SttInitConfig {
            sample_rate: self.config.rate.hz(),
            encoding: encoding_name(self.config.format().encoding),
            language: self.config.language.as_deref(),
            enable_partials: self.config.partials,
        };
        self.outbox.push_back(Message::Text(encode(&ToStt::Init(SttInit { config }))));
        self.timers.set(Timer::Ready, self.now + self.config.ready_timeout);
    }

    fn on_closed(&mut self, frame: Option<CloseFrame>) {
        if matches!(self.link, Link::Down | Link::Over) {
            return;
        }
        self.outbox.clear();
        let in_order = frame.as_ref().is_some_and(|frame| frame.code == CloseFrame::NORMAL);
        if self.close == Close::Sent && in_order {
            return self.finish();
        }
        self.let_go();
        self.link = Link::Down;
        self.events.push_back(SttEvent::LinkLost(frame));
        if self.lost_closing >= MAX_TRIES {
            self.abandon();
        }
    }

    /// What a link's end means for audio and finalizes: they wait for the next one.
    fn let_go(&mut self) {
        self.cover_silence();
        let sent = self.hold.next();
        for timer in [Timer::Final, Timer::Keepalive, Timer::Pace, Timer::Ready] {
            self.timers.stop(timer);
        }
        if self.close == Close::Sent {
            self.close = Close::Asked;
        }
        self.drop_span(self.covered, self.hold.start());
        self.covered = self.covered.max(self.hold.start());
        self.hold.rewind();
        self.behind |= sent > self.hold.next() || self.link == Link::Ready;
        self.stats.replayed += sent - self.hold.next();
        self.sends.clear();
        self.partial_pending = false;
        self.last_final = None;
        self.marks.iter_mut().for_each(|mark| mark.sent = false);
        let (events, marks) = (&mut self.events, &mut self.marks);
        marks.retain(|mark| {
            let given_up = mark.tries >= MAX_TRIES;
            if given_up {
                events.push_back(SttEvent::FinalizeTimedOut { position: mark.position });
            }
            !given_up
        });
        if self.close != Close::NotAsked {
            self.lost_closing += 1;
        }
    }

    /// Gives the link up: closes it, and waits for another.
    fn retire(&mut self) {
        self.let_go();
        self.outbox.clear();
        self.outbox.push_back(Message::Close(CloseFrame::normal()));
        self.link = Link::Retired;
    }

    fn on_text(&mut self, text: &str) -> Result<(), ProtocolError> {
        let message = match read_stt(text) {
            Ok(message) => message,
            Err(error) => return self.on_garbled(error),
        };
        self.garbled_in_a_row = 0;
        match message {
            SttMessage::Error(error) => return self.on_error(error),
            SttMessage::Final(speech) => self.on_final(speech),
            SttMessage::Ignored => {}
            SttMessage::Partial(speech) => self.on_partial(speech),
            SttMessage::Ready { session_id } => self.on_ready(session_id),
            SttMessage::Unhandled(kind) => self.unhandled(kind),
        }
        Ok(())
    }

    fn unhandled(&mut self, kind: String) {
        self.stats.unhandled += 1;
        self.events.push_back(SttEvent::Unhandled { kind });
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
        self.events.push_back(SttEvent::Garbled { error });
        Ok(())
    }

    fn on_error(&mut self, error: VendorError) -> Result<(), ProtocolError> {
        if !codes::retryable(error.code) {
            self.link = Link::Over;
            return Err(ProtocolError::Peer { code: error.code, message: error.message });
        }
        self.warn(error.code, error.message);
        self.retire();
        Ok(())
    }

    fn on_ready(&mut self, session_id: Option<String>) {
        if self.link != Link::AwaitingReady {
            return;
        }
        self.link = Link::Ready;
        self.timers.stop(Timer::Ready);
        self.timers.set(Timer::Keepalive, self.now + self.config.keepalive);
        self.origin = self.hold.next();
        self.pace = self.now;
        self.progress();
        self.events.push_back(SttEvent::Ready { session_id, backlog: self.backlog() });
        self.note_caught_up();
    }

    fn on_partial(&mut self, speech: Speech) {
        if self.link != Link::Ready || speech.text.is_empty() {
            return;
        }
        self.partials_seen = true;
        if self.told_end(&speech).is_some_and(|end| end <= self.covered) {
            self.stats.duplicates += 1;
            return;
        }
        let transcript = self.place(speech, self.hold.next());
        self.partial_pending = true;
        self.progress();
        self.events.push_back(SttEvent::Partial(transcript));
    }

    fn on_final(&mut self, mut speech: Speech) {
        if self.link != Link::Ready {
            return;
        }
        self.progress();
        if speech.text.is_empty() {
            // It is not about the speech of which we have a partial: that one's final is still to come.
            if !self.partial_pending {
                self.answer_mark();
            }
            return;
        }
        let goes_back = self.told_end(&speech).map(|end| end <= self.covered);
        if self.repeats_last(&speech.text, goes_back) {
            self.stats.duplicates += 1;
            return;
        }
        if goes_back == Some(true) {
            // Other words in a place already told: these times do not count from the link's first sample.
            speech.words.clear();
            speech.span = None;
        }
        let end = self.end_of(&speech);
        let transcript = self.place(speech, end);
        self.partial_pending = false;
        self.cover(transcript.end);
        self.events.push_back(SttEvent::Final(transcript));
        self.answer_mark();
    }

    /// Where a transcript ends by its own account.
    fn told_end(&self, speech: &Speech) -> Option<u64> {
        let seconds = speech.span.map(|(_, end)| end).or_else(|| speech.words.last().map(|word| word.end))?;
        Some(self.at(seconds))
    }

    /// Whether a final says the last one again: in the same place or, without times, with nothing sent in between.
    fn repeats_last(&mut self, text: &str, goes_back: Option<bool>) -> bool {
        let sent = self.hold.next();
        let same = self.last_final.as_ref().is_some_and(|(last, _)| last == text);
        let nothing_sent = self.last_final.as_ref().is_some_and(|(_, then)| *then == sent);
        self.last_final = Some((text.to_owned(), sent));
        same && goes_back.unwrap_or(nothing_sent)
    }

    /// How far a final reaches, by the rules in the type's documentation.
    fn end_of(&self, speech: &Speech) -> u64 {
        let end = match (self.told_end(speech), self.marks.front()) {
            (Some(end), _) => end,
            (None, Some(mark)) if mark.sent => mark.position,
            (None, _) => {
                self.now.checked_sub(self.config.transit_margin).map_or(0, |then| self.sent_by(then))
            }
        };
        end.clamp(self.covered, self.hold.next().max(self.covered))
    }

    /// A link's own time as a position.
    fn at(&self, seconds: f64) -> u64 {
        // Saturates: a peer's absurd time is clamped by whoever uses it.
        self.origin.saturating_add((seconds * f64::from(self.config.rate.hz())).round() as u64)
    }

    /// What had been sent on this link by `then`.
    fn sent_by(&self, then: Instant) -> u64 {
        let last = self.sends.iter().rev().find(|(at, _)| *at <= then);
        last.map_or(self.origin, |(_, position)| *position)
    }

    /// Puts speech in its place, without the words that an earlier final has told.
    fn place(&self, speech: Speech, end: u64) -> Transcript {
        let (covered, sent) = (self.covered, self.hold.next());
        let all = speech.words.len();
        let words = speech.words.into_iter().map(|word| Word {
            text: word.text,
            start: self.at(word.start).min(sent),
            end: self.at(word.end).min(sent),
            confidence: word.confidence,
        });
        let words: Vec<_> = words.filter(|word| word.end > covered).collect();
        let text = if words.len() < all {
            words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
        } else {
            speech.text
        };
        let first = words.first().map(|word| word.start).or_else(|| Some(self.at(speech.span?.0)));
        let end = words.last().map_or(end, |word| word.end.max(end));
        let start = first.unwrap_or(covered).clamp(covered.min(end), end);
        Transcript { text, start, end, confidence: speech.confidence, language: speech.language, words }
    }

    fn cover(&mut self, position: u64) {
        self.covered = self.covered.max(position.min(self.hold.next()));
        self.hold.release_to(self.covered);
    }

    /// Where partials come, long silence without one is silence.
    fn cover_silence(&mut self) {
        if self.link != Link::Ready || !self.partials_seen || self.partial_pending || !self.marks.is_empty() {
            return;
        }
        if let Some(then) = self.now.checked_sub(self.config.quiet_after) {
            self.cover(self.sent_by(then));
        }
    }

    fn answer_mark(&mut self) {
        if self.marks.front().is_some_and(|mark| mark.sent)
            && let Some(mark) = self.marks.pop_front()
        {
            self.finalized = self.finalized.max(mark.position);
            self.events.push_back(SttEvent::Finalized { position: mark.position });
            self.arm_final();
        }
    }

    /// Waits for the answer to the oldest finalize that was sent.
    fn arm_final(&mut self) {
        match self.marks.front() {
            Some(mark) if mark.sent => self.timers.set(Timer::Final, self.now + self.config.final_timeout),
            Some(_) | None => self.timers.stop(Timer::Final),
        }
    }

    fn note_caught_up(&mut self) {
        if self.behind && self.link == Link::Ready && self.hold.unsent() < self.min_message() {
            self.behind = false;
            self.events.push_back(SttEvent::CaughtUp);
        }
    }

    fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.events.push_back(SttEvent::Warning { code, message: message.into() });
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Close => {
                if matches!(self.link, Link::AwaitingReady | Link::Ready) {
                    self.outbox.push_back(Message::Close(CloseFrame::normal()));
                }
                self.abandon();
            }
            Timer::Final => {
                if let Some(mark) = self.marks.pop_front() {
                    self.events.push_back(SttEvent::FinalizeTimedOut { position: mark.position });
                }
                self.arm_final();
            }
            Timer::Keepalive => {
                self.outbox.push_back(Message::Text(encode(&ToStt::Keepalive)));
                self.timers.set(Timer::Keepalive, self.now + self.config.keepalive);
            }
            // It only has us polled.
            Timer::Pace => {}
            Timer::Ready => {
                self.warn(codes::NO_READY, format!("no `ready` within {:?}", self.config.ready_timeout));
                self.retire();
            }
        }
    }

    const fn min_message(&self) -> u64 {
        self.config.rate.samples_in(MIN_MESSAGE)
    }

    /// The next audio, finalize or close, if one may go out now.
    fn next_message(&mut self) -> Option<Message> {
        if self.link != Link::Ready || self.close == Close::Sent {
            return None;
        }
        let next = self.hold.next();
        let mark = self.marks.iter_mut().find(|mark| !mark.sent);
        let stop = match mark {
            Some(mark) if mark.position <= next => {
                mark.sent = true;
                mark.tries += 1;
                if self.timers.get(Timer::Final).is_none() {
                    self.timers.set(Timer::Final, self.now + self.config.final_timeout);
                }
                return Some(self.sent(Message::Text(encode(&ToStt::Finalize))));
            }
            Some(mark) => Some(mark.position),
            None if self.close == Close::Asked => Some(self.hold.end()),
            None => None,
        };
        let ready = stop.unwrap_or_else(|| self.hold.end()) - next;
        // A tail shorter than a message leaves only if something waits behind it.
        if ready > 0 && (ready >= self.min_message() || stop.is_some()) {
            return self.next_audio(ready);
        }
        if self.close == Close::Asked && self.hold.unsent() == 0 {
            self.close = Close::Sent;
            return Some(self.sent(Message::Text(encode(&ToStt::Close))));
        }
        None
    }

    /// Up to `ready` samples, if the pace allows.
    fn next_audio(&mut self, ready: u64) -> Option<Message> {
        let head_start = MAX_MESSAGE;
        if self.pace > self.now + head_start {
            self.timers.set(Timer::Pace, self.pace - head_start);
            return None;
        }
        let samples = ready.min(self.config.rate.samples_in(MAX_MESSAGE));
        let audio = self.hold.take(samples);
        let cost = self.config.rate.duration_of(samples).div_f64(f64::from(self.config.replay_speed));
        self.pace = self.pace.max(self.now) + cost;
        self.stats.sent += samples;
        self.remember_send();
        self.note_caught_up();
        self.progress();
        Some(self.sent(Message::Binary(audio)))
    }

    fn remember_send(&mut self) {
        let sent = self.hold.next();
        match self.sends.back_mut() {
            Some((at, position)) if *at == self.now => *position = sent,
            _ => self.sends.push_back((self.now, sent)),
        }
        let reach = self.config.quiet_after.max(self.config.transit_margin);
        // The newest entry beyond the reach still answers for that moment.
        while self.sends.get(1).is_some_and(|(at, _)| self.now.saturating_duration_since(*at) >= reach) {
            self.sends.pop_front();
        }
    }

    fn sent(&mut self, message: Message) -> Message {
        self.timers.set(Timer::Keepalive, self.now + self.config.keepalive);
        message
    }
}

impl Machine for SttClient {
    type Command = SttCommand;
    type Event = SttEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        self.now = self.now.max(now);
        match (self.link, input) {
            (Link::Over, _) => {}
            (_, Input::Opened) => self.on_opened(),
            (_, Input::Closed(frame)) => self.on_closed(frame),
            (Link::Down | Link::Retired, Input::Binary(_) | Input::Text(_)) => {}
            (Link::AwaitingReady | Link::Ready, Input::Text(text)) => self.on_text(text)?,
            (Link::AwaitingReady | Link::Ready, Input::Binary(_)) => self.unhandled("binary".to_owned()),
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

    fn close_command() -> Option<SttCommand> {
        Some(SttCommand::Close)
    }
}

/// The shortest audio message but for a tail: the vendor's advice is 20 to 100 ms.
const MIN_MESSAGE: Duration = Duration::from_millis(20);
/// The longest, and the head start a clump of live audio may have.
const MAX_MESSAGE: Duration = Duration::from_millis(100);
/// A replay at this speed hardly ever catches up; a slower one never does.
const LEAST_SPEED: f32 = 1.1;
/// How much is given up at once when too much is held.
const GIVE_UP_STEP: Duration = Duration::from_secs(1);
/// Links on which a finalize, or the end of the session, is tried.
const MAX_TRIES: u32 = 3;
/// Messages in a row that may fail to parse.
const MAX_GARBLED: usize = 100;
