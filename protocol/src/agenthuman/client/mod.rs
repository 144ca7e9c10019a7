//! Our side of the avatar's socket.

mod api;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::api::since;
pub use self::api::{AvatarClientConfig, AvatarCommand, AvatarEvent, Heard, InterruptOutcome, LinkEnd};
use super::playback::Playback;
use super::speech::{Piece, Speech, SpeechEnd, Standing};
use super::wire::{self, FromServer};
use super::{AvatarSession, Recovery, Revision, VendorError, audio};
use crate::json::decode;
use crate::{
    Awaited, CloseFrame, Code, CommandError, Epoch, Input, LinkLife, Machine, Message, ProtocolError,
    TimerKind, Timers, UtteranceId,
};

/// Speaks through an avatar: initialises each link, sends speech in the sizes the service likes,
/// matches its confirmations, and keeps what is unconfirmed for the next link or session.
///
/// `session.init` is first on every link because nothing else can be: speech waits for
/// `connection.established`. Messages are timed from the moment they are handed to the link, which
/// is the last instant the machine was told.
///
/// ```
/// use std::time::Instant;
/// use voxline_protocol::agenthuman::{AvatarClient, AvatarClientConfig, AvatarCommand, AvatarSession};
/// use voxline_protocol::{Input, Machine, Message, Secret, UtteranceId};
///
/// let session = AvatarSession::revision_b("sess_1", Secret::new("token")?);
/// let mut client = AvatarClient::new(AvatarClientConfig::new(session));
/// let now = Instant::now();
/// let utterance = UtteranceId::new(1);
/// client.handle_command(now, AvatarCommand::Say { utterance, audio: vec![0; 64_000].into() })?;
/// client.handle_input(now, Input::Opened)?;
/// let Some(Message::Text(first)) = client.poll_transmit() else { panic!() };
/// assert_eq!(first, r#"{"type":"session.init","session_id":"sess_1","session_token":"token"}"#);
/// assert_eq!(client.poll_transmit(), None, "speech waits");
/// client.handle_input(now, Input::Text(r#"{"type":"connection.established"}"#))?;
/// assert!(client.poll_transmit().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AvatarClient {
    config: AvatarClientConfig,
    now: Option<Instant>,
    state: State,
    link: Option<LinkLife>,
    opened_at: Option<Instant>,
    epoch: Epoch,
    speech: Speech,
    /// Fed when speech is sent: it can only be early.
    earliest: Playback,
    /// Fed when speech is confirmed: it can only be late.
    latest: Playback,
    interrupt: Option<PendingInterrupt>,
    /// The instant the link that carried the playing speech was lost.
    silent_since: Option<Instant>,
    /// Links in a row that the service did not establish.
    refusals: u32,
    garbled: usize,
    close_due: bool,
    timers: Timers<Timer>,
    events: VecDeque<AvatarEvent>,
}

/// The life of one link, and of the machine around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No link, or one that is no longer used.
    Down,
    /// Open; `session.init` is to be sent.
    Opened,
    /// `session.init` is sent.
    Initialising,
    /// Speech may flow.
    Ready,
    /// `agent.interrupt` is sent and not acknowledged: speech waits.
    Interrupting,
    /// We closed the link for good.
    Closing,
    /// Nothing follows.
    Finished,
}

/// An interruption the service has not acknowledged.
#[derive(Debug)]
struct PendingInterrupt {
    epoch: Epoch,
    /// What was not said to its end when it was asked for, and how far it surely was.
    cut_off: Vec<(UtteranceId, Duration)>,
}

/// The waits of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The session ends by itself: the link is given up, a new session is asked for.
    Expiry,
    /// The session ends soon: the application is warned.
    ExpiryWarning,
    /// `connection.established` is overdue: the link is given up.
    Establish,
    /// The oldest speech is overdue: it is given up, the link is kept.
    Confirm,
    /// The acknowledgement of an interruption is overdue: speech goes on without.
    Interrupt,
    /// Speech that waited for room, or for more of itself, may go: nothing but another look.
    Pace,
    /// The peer did not close after us: the machine ends without.
    Close,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[
        Self::Expiry,
        Self::ExpiryWarning,
        Self::Establish,
        Self::Confirm,
        Self::Interrupt,
        Self::Pace,
        Self::Close,
    ];

    fn index(self) -> usize {
        self as usize
    }
}

impl AvatarClient {
    /// A client for one session, without a link yet.
    #[must_use]
    pub fn new(config: AvatarClientConfig) -> Self {
        let speech = Speech::new(config.rate, config.chunks, config.max_message_bytes);
        let mut client = Self {
            config,
            now: None,
            state: State::Down,
            link: None,
            opened_at: None,
            epoch: Epoch::FIRST,
            speech,
            earliest: Playback::default(),
            latest: Playback::default(),
            interrupt: None,
            silent_since: None,
            refusals: 0,
            garbled: 0,
            close_due: false,
            timers: Timers::new(),
            events: VecDeque::new(),
        };
        client.arm_expiry();
        client
    }

    /// Which stretch between interruptions this is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How much confirmed speech the avatar has still to say at `now`, by estimate.
    #[must_use]
    pub fn unplayed(&self, now: Instant) -> Duration {
        self.latest.unsaid(now)
    }

    fn tick(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        now
    }

    fn arm_expiry(&mut self) {
        self.timers.stop(Timer::Expiry);
        self.timers.stop(Timer::ExpiryWarning);
        if let Some(at) = self.config.session.expires_at {
            self.timers.set(Timer::Expiry, at);
            if let Some(warn) = at.checked_sub(self.config.expiry_warning) {
                self.timers.set(Timer::ExpiryWarning, warn);
            }
        }
    }

    fn on_opened(&mut self, now: Instant) {
        if matches!(self.state, State::Closing | State::Finished) {
            return;
        }
        if self.state != State::Down {
            // A second link without the first one's end: the first is gone all the same.
            self.leave_link(now);
        }
        self.link = Some(self.link.map_or(LinkLife::FIRST, LinkLife::next));
        self.opened_at = Some(now);
        self.close_due = false;
        self.garbled = 0;
        self.state = State::Opened;
        self.timers.set(Timer::Establish, now + self.config.establish_timeout);
    }

    fn on_text(&mut self, now: Instant, text: &str) -> Result<(), ProtocolError> {
        if matches!(self.state, State::Down | State::Closing | State::Finished) {
            return Ok(());
        }
        let message: FromServer<'_> = match decode(text) {
            Ok(message) => message,
            Err(error) => {
                self.garbled += 1;
                self.events.push_back(AvatarEvent::Garbled(error));
                if self.garbled > MAX_GARBLED {
                    return self.fail(
                        now,
                        ProtocolError::LimitExceeded {
                            what: "messages that do not parse",
                            limit: MAX_GARBLED,
                        },
                    );
                }
                return Ok(());
            }
        };
        if message.is_error() {
            let error = VendorError::parse(message.error_text());
            return self.on_error(now, error);
        }
        match message.kind.as_deref() {
            Some(wire::ESTABLISHED) => return self.on_established(now, message.session_id()),
            Some(wire::SPEAK_CONFIRMED) => self.on_confirmed(now, message.audio_samples()),
            Some(kind) if message.is_interrupt_confirmation() => {
                let kind = kind.to_owned();
                self.on_interrupt_answer(now, InterruptOutcome::Acknowledged, kind);
            }
            Some(kind) if kind.starts_with("webrtc.") => return self.on_revision_0(now),
            Some(kind) => self.unhandled(kind),
            None => self.unhandled("without a type"),
        }
        Ok(())
    }

    fn on_established(&mut self, now: Instant, session_id: Option<&str>) -> Result<(), ProtocolError> {
        match self.state {
            // It greeted us before it heard from us.
            State::Opened => self.on_revision_0(now),
            State::Initialising if session_id.is_some_and(|id| id != self.config.session.session_id) => {
                self.on_error(now, VendorError::ServerMismatch)
            }
            State::Initialising => {
                self.timers.stop(Timer::Establish);
                self.refusals = 0;
                self.state = State::Ready;
                let link = self.link.unwrap_or_default();
                let took = since(self.opened_at, now);
                self.events.push_back(AvatarEvent::Established { link, took });
                Ok(())
            }
            State::Down | State::Ready | State::Interrupting | State::Closing | State::Finished => {
                self.unhandled(wire::ESTABLISHED);
                Ok(())
            }
        }
    }

    fn on_revision_0(&mut self, now: Instant) -> Result<(), ProtocolError> {
        self.fail(
            now,
            ProtocolError::Peer {
                code: Code::new("agenthuman/revision-0"),
                message: "the server speaks first, with WebRTC on the socket, as the retired revision did"
                    .to_owned(),
            },
        )
    }

    fn on_confirmed(&mut self, now: Instant, confirmed: Option<u64>) {
        // While an interruption is not acknowledged, a confirmation belongs to speech that is gone.
        let receipt = match self.state {
            State::Ready => self.speech.confirm(now, confirmed, &mut self.latest),
            State::Down
            | State::Opened
            | State::Initialising
            | State::Interrupting
            | State::Closing
            | State::Finished => None,
        };
        let Some(receipt) = receipt else { return self.unhandled(wire::SPEAK_CONFIRMED) };
        if let Some(confirmed) = receipt.confirmed.filter(|_| !receipt.is_plausible(self.config.rate)) {
            let (utterance, expected) = (receipt.utterance, receipt.expected);
            self.events.push_back(AvatarEvent::SampleCount { utterance, expected, confirmed });
        }
        self.events.push_back(AvatarEvent::Chunk(receipt));
        self.after_answer(now);
    }

    fn on_error(&mut self, now: Instant, error: VendorError) -> Result<(), ProtocolError> {
        let is_established = matches!(self.state, State::Ready | State::Interrupting);
        if !is_established || error.ends_link() {
            return self.on_refused(now, error);
        }
        match error {
            VendorError::NoAudioData | VendorError::AudioProcessingFailed { .. } => {
                self.refuse_head(now, error);
            }
            // The service could not read a message: the interruption if one is open, else speech.
            VendorError::InvalidJson | VendorError::UnknownMessageType { .. } => {
                if self.state == State::Interrupting {
                    self.events.push_back(AvatarEvent::ServiceError(error));
                    self.on_interrupt_answer(now, InterruptOutcome::Unacknowledged, String::new());
                } else {
                    self.refuse_head(now, error);
                }
            }
            VendorError::InitRequired
            | VendorError::InvalidRoomPlatform
            | VendorError::InvalidVideoDimensions
            | VendorError::InvalidAspectRatio
            | VendorError::ServerMismatch
            | VendorError::SessionConfigUnavailable
            | VendorError::SessionNotFound
            | VendorError::InvalidSessionConfiguration
            | VendorError::Other { .. } => self.events.push_back(AvatarEvent::ServiceError(error)),
        }
        Ok(())
    }

    /// The service does not want this session on this link.
    fn on_refused(&mut self, now: Instant, error: VendorError) -> Result<(), ProtocolError> {
        self.refusals += 1;
        match error.recovery(self.refusals) {
            Recovery::GiveUp => self.fail(now, error.into_fatal()),
            recovery @ (Recovery::NewSession | Recovery::Redial | Recovery::StartAgain) => {
                self.close_due = true;
                self.link_down(now, LinkEnd::Refused(error), recovery);
                Ok(())
            }
        }
    }

    fn refuse_head(&mut self, now: Instant, error: VendorError) {
        let in_doubt = self.state == State::Interrupting;
        let end = SpeechEnd::Refused(error.clone());
        let piece = if in_doubt { None } else { self.speech.give_up_head(now, end) };
        match piece {
            Some(Piece { utterance, samples, length, .. }) => {
                self.earliest.advance(now, length);
                self.events.push_back(AvatarEvent::ChunkRefused { utterance, samples, error });
                self.after_answer(now);
            }
            None => self.events.push_back(AvatarEvent::ServiceError(error)),
        }
    }

    /// Accounts for what an answer completed, and waits for the next one.
    fn after_answer(&mut self, now: Instant) {
        self.report_completed();
        self.timers.stop(Timer::Confirm);
        self.arm_confirm(now);
    }

    fn arm_confirm(&mut self, now: Instant) {
        if self.speech.is_anything_in_flight() && self.timers.get(Timer::Confirm).is_none() {
            self.timers.set(Timer::Confirm, now + self.confirm_limit());
        }
    }

    /// The confirmation timeout, and the time a slow uplink needs for all that is on its way.
    fn confirm_limit(&self) -> Duration {
        let text_bytes = self.speech.in_flight_bytes() as u64 * 4 / 3;
        let upload_ms = text_bytes * 1000 / u64::from(self.config.min_uplink.max(1));
        self.config.confirm_timeout + Duration::from_millis(upload_ms)
    }

    fn report_completed(&mut self) {
        while let Some(report) = self.speech.completed() {
            self.events.push_back(AvatarEvent::Speech(report));
        }
    }

    fn interrupt(&mut self, now: Instant) {
        self.epoch = self.epoch.next();
        let heard_at = self.silent_since.unwrap_or(now);
        let mut cut_off = self.latest.unfinished(heard_at);
        for report in self.speech.drop_all(&SpeechEnd::Interrupted) {
            // Sent without a confirmation: it may have been said or not.
            if report.chunks > 0 && !cut_off.contains(&report.utterance) {
                cut_off.push(report.utterance);
            }
            self.events.push_back(AvatarEvent::Speech(report));
        }
        self.timers.stop(Timer::Confirm);
        self.timers.stop(Timer::Pace);
        // One that is open already has nothing more to stop at the service: speech waits for its end.
        let open = self.interrupt.take();
        let must_ask =
            open.is_some() || self.state == State::Ready || self.earliest.ahead(heard_at) > Duration::ZERO;
        let reached = |utterance| (utterance, self.latest.reached(utterance, heard_at));
        let cut_off = match open {
            Some(open) => open.cut_off,
            None => cut_off.into_iter().map(reached).collect(),
        };
        self.interrupt = Some(PendingInterrupt { epoch: self.epoch, cut_off });
        if !must_ask {
            self.finish_interrupt(now, InterruptOutcome::NotNeeded);
        }
    }

    fn on_interrupt_answer(&mut self, now: Instant, outcome: InterruptOutcome, kind: String) {
        if self.state == State::Interrupting {
            self.state = State::Ready;
            self.finish_interrupt(now, outcome);
        } else {
            self.unhandled(kind);
        }
    }

    fn finish_interrupt(&mut self, now: Instant, outcome: InterruptOutcome) {
        self.timers.stop(Timer::Interrupt);
        let Some(pending) = self.interrupt.take() else { return };
        let heard = pending.cut_off.into_iter().map(|(utterance, at_least)| {
            let at_most = self.earliest.reached(utterance, now).max(at_least);
            Heard { utterance, at_least, at_most }
        });
        let (epoch, heard) = (pending.epoch, heard.collect());
        self.earliest.clear();
        self.latest.clear();
        self.events.push_back(AvatarEvent::Interrupted { epoch, outcome, heard });
    }

    fn leave_link(&mut self, now: Instant) {
        // What is on its way may have arrived or not: the two models take one each.
        self.earliest.rewind(self.speech.in_flight());
        self.latest.delay(now, self.speech.in_flight());
        if let Some(Piece { utterance, samples, .. }) = self.speech.link_lost(now) {
            self.events.push_back(AvatarEvent::ChunkUnconfirmed { utterance, samples });
            self.report_completed();
        }
        for timer in [Timer::Establish, Timer::Confirm, Timer::Interrupt, Timer::Pace] {
            self.timers.stop(timer);
        }
        if matches!(self.state, State::Ready | State::Interrupting) {
            self.silent_since = Some(now);
        }
        self.state = State::Down;
    }

    fn link_down(&mut self, now: Instant, end: LinkEnd, recovery: Recovery) {
        let unplayed = self.latest.unsaid(now);
        self.leave_link(now);
        let link = self.link.unwrap_or_default();
        self.events.push_back(AvatarEvent::LinkDown { link, end, recovery, unplayed });
    }

    fn on_closed(&mut self, now: Instant, frame: Option<CloseFrame>) {
        match self.state {
            State::Down | State::Finished => self.close_due = false,
            State::Closing => self.finish(),
            State::Opened | State::Initialising | State::Ready | State::Interrupting => {
                self.link_down(now, LinkEnd::Closed(frame), Recovery::Redial);
            }
        }
    }

    fn on_expired(&mut self, now: Instant) {
        if matches!(self.state, State::Closing | State::Finished) {
            return;
        }
        self.close_due = self.state != State::Down;
        self.link_down(now, LinkEnd::Expired, Recovery::NewSession);
        // What the old session had in hand is never said.
        self.end_playback(now);
    }

    fn use_session(&mut self, now: Instant, session: AvatarSession) {
        if self.state != State::Down {
            self.close_due = true;
            self.link_down(now, LinkEnd::Replaced, Recovery::Redial);
        }
        self.config.session = session;
        self.arm_expiry();
        self.end_playback(now);
    }

    /// Whatever the avatar still had to say is gone with its session.
    fn end_playback(&mut self, now: Instant) {
        self.finish_interrupt(now, InterruptOutcome::NotNeeded);
        self.earliest.stop(now);
        self.latest.stop(self.silent_since.take().unwrap_or(now));
    }

    fn close(&mut self, now: Instant) {
        self.end_speech(now);
        self.timers.stop_all();
        if self.state == State::Down {
            self.finish();
        } else {
            self.close_due = true;
            self.state = State::Closing;
            self.timers.set(Timer::Close, now + self.config.close_timeout);
        }
    }

    fn end_speech(&mut self, now: Instant) {
        self.finish_interrupt(now, InterruptOutcome::Unacknowledged);
        for report in self.speech.drop_all(&SpeechEnd::SessionOver) {
            self.events.push_back(AvatarEvent::Speech(report));
        }
    }

    fn finish(&mut self) {
        self.timers.stop_all();
        self.state = State::Finished;
        self.events.push_back(AvatarEvent::Closed);
    }

    /// The session's bad end: every utterance still gets its account.
    fn fail(&mut self, now: Instant, error: ProtocolError) -> Result<(), ProtocolError> {
        self.end_speech(now);
        self.finish();
        Err(error)
    }

    fn unhandled(&mut self, kind: impl Into<String>) {
        self.events.push_back(AvatarEvent::Unhandled { kind: kind.into() });
    }

    fn check_speech(&self, id: UtteranceId, audio: &Bytes, standing: Standing) -> Result<(), CommandError> {
        if standing == Standing::Over {
            return Err(CommandError::Invalid {
                field: "utterance",
                seen: format!("{id}, which is over"),
                remedy: "number a new utterance higher than every one before",
            });
        }
        audio::check(audio, standing == Standing::New)?;
        if audio.len() > Revision::A.max_message_bytes() {
            return Err(CommandError::WouldRefuse {
                code: Code::new("agenthuman/message-too-large"),
                seen: format!("audio of {} bytes", audio.len()),
                remedy: "hand it over in pieces of at most 30 seconds",
            });
        }
        let samples = self.speech.unsent() + (audio.len() / 2) as u64;
        if self.config.rate.duration(samples) > self.config.max_unsent {
            return Err(CommandError::QueueFull {
                limit: self.config.max_unsent.as_millis() as usize,
                unit: "ms of unsent speech",
            });
        }
        if standing == Standing::New && self.speech.utterances() >= MAX_UTTERANCES {
            return Err(CommandError::QueueFull { limit: MAX_UTTERANCES, unit: "utterances" });
        }
        Ok(())
    }

    /// The next speech message, if there is enough for one and room for it.
    fn poll_speech(&mut self, now: Instant) -> Option<Message> {
        self.timers.stop(Timer::Pace);
        let left = self.earliest.ahead(now);
        let low = self.config.chunks.floor;
        let starving = left <= low;
        let Some(length) = self.speech.next_length(starving) else {
            if self.speech.could_starve() {
                self.timers.set(Timer::Pace, now + (left - low));
            }
            return None;
        };
        let ahead = left.max(self.speech.in_flight());
        if ahead > Duration::ZERO && ahead + length > self.config.max_ahead {
            // What is not being said yet needs an answer first, and that wakes us by itself.
            let excess = (ahead + length).saturating_sub(self.config.max_ahead);
            if ahead == left && excess <= left {
                self.timers.set(Timer::Pace, now + excess);
            }
            return None;
        }
        let chunk = self.speech.send(now, starving)?;
        self.earliest.add(now, chunk.utterance, chunk.voice(self.config.rate), length);
        self.silent_since = None;
        self.arm_confirm(now);
        Some(Message::Text(wire::speak(&chunk.audio, self.config.rate)))
    }
}

impl Machine for AvatarClient {
    type Command = AvatarCommand;
    type Event = AvatarEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        let now = self.tick(now);
        match input {
            Input::Opened => self.on_opened(now),
            Input::Text(text) => return self.on_text(now, text),
            Input::Binary(_) => match self.state {
                State::Down | State::Closing | State::Finished => {}
                State::Opened | State::Initialising | State::Ready | State::Interrupting => {
                    self.unhandled("binary");
                }
            },
            Input::Closed(frame) => self.on_closed(now, frame),
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: AvatarCommand) -> Result<(), CommandError> {
        let now = self.tick(now);
        if matches!(self.state, State::Closing | State::Finished) {
            return Err(CommandError::Closed);
        }
        match command {
            AvatarCommand::Close => self.close(now),
            AvatarCommand::Finish { utterance } => {
                self.speech.finish(utterance);
                self.report_completed();
            }
            AvatarCommand::Interrupt => self.interrupt(now),
            AvatarCommand::Say { utterance, audio } => {
                let standing = match self.speech.standing(utterance) {
                    Standing::New => Standing::New,
                    Standing::Open | Standing::Over => Standing::Over,
                };
                self.check_speech(utterance, &audio, standing)?;
                self.speech.push(utterance, audio, false);
                self.speech.finish(utterance);
                self.report_completed();
            }
            AvatarCommand::Speak { utterance, audio } => {
                self.check_speech(utterance, &audio, self.speech.standing(utterance))?;
                self.speech.push(utterance, audio, true);
                self.report_completed();
            }
            AvatarCommand::UseSession(session) => self.use_session(now, *session),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        let now = self.tick(now);
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Expiry => self.on_expired(now),
                Timer::ExpiryWarning => {
                    let left = self.timers.get(Timer::Expiry).map(|at| at.saturating_duration_since(now));
                    if let Some(left) = left {
                        self.events.push_back(AvatarEvent::Expiring { left });
                    }
                }
                Timer::Establish => {
                    self.refusals += 1;
                    if self.refusals > MAX_SILENT_LINKS {
                        let limit = self.config.establish_timeout;
                        return self
                            .fail(now, ProtocolError::Timeout { awaited: Awaited::Established, limit });
                    }
                    self.close_due = true;
                    self.link_down(now, LinkEnd::EstablishTimeout, Recovery::Redial);
                }
                Timer::Confirm => {
                    if let Some(piece) = self.speech.give_up_head(now, SpeechEnd::Unconfirmed) {
                        self.earliest.advance(now, piece.length);
                        self.latest.delay(now, piece.length);
                        let Piece { utterance, samples, .. } = piece;
                        self.events.push_back(AvatarEvent::ChunkUnconfirmed { utterance, samples });
                        self.after_answer(now);
                    }
                }
                Timer::Interrupt => {
                    self.state = State::Ready;
                    self.finish_interrupt(now, InterruptOutcome::Unacknowledged);
                }
                Timer::Pace => {}
                Timer::Close => self.finish(),
            }
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        let now = self.now?;
        if self.close_due {
            self.close_due = false;
            return Some(Message::Close(CloseFrame::normal()));
        }
        match self.state {
            State::Opened => {
                self.state = State::Initialising;
                Some(Message::Text(wire::init(&self.config.session)))
            }
            State::Ready if self.interrupt.is_some() => {
                self.state = State::Interrupting;
                self.timers.set(Timer::Interrupt, now + self.config.interrupt_timeout);
                Some(Message::Text(wire::interrupt()))
            }
            State::Ready => self.poll_speech(now),
            State::Down | State::Initialising | State::Interrupting | State::Closing | State::Finished => {
                None
            }
        }
    }

    fn poll_event(&mut self) -> Option<AvatarEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_finished(&self) -> bool {
        self.state == State::Finished && self.events.is_empty()
    }

    fn close_command() -> Option<AvatarCommand> {
        Some(AvatarCommand::Close)
    }
}

/// Messages that do not parse, on one link, before the peer is called something else.
const MAX_GARBLED: usize = 100;
/// Links in a row on which the service stayed silent.
const MAX_SILENT_LINKS: u32 = 3;
/// Utterances held at once.
const MAX_UTTERANCES: usize = 256;
