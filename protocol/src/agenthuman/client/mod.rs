//! Our side of the avatar's socket.

mod answers;
mod api;
mod link;
mod speaking;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::api::{AvatarClientConfig, AvatarCommand, AvatarEvent, Heard, InterruptOutcome, LinkEnd};
use super::playback::Playback;
use super::speech::{Piece, Speech, SpeechEnd};
use super::{AvatarSession, Recovery, wire};
use crate::error::words;
use crate::{
    Awaited, CloseFrame, CommandError, Epoch, Input, LinkLife, LinkProof, Machine, Message, ProtocolError,
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

    fn use_session(&mut self, now: Instant, session: AvatarSession) {
        if self.state != State::Down {
            self.close_due = true;
            self.link_down(now, LinkEnd::Replaced, Recovery::Redial);
        }
        self.config.session = session;
        self.arm_expiry();
        self.end_playback(now);
    }

    fn close(&mut self, now: Instant) {
        self.end_speech(now);
        self.timers.stop_all();
        if self.state == State::Down {
            self.finish();
        } else {
            self.close_due = true;
            self.state = State::Closing;
            self.timers.after(Timer::Close, now, self.config.close_timeout);
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
        self.events.push_back(AvatarEvent::Unhandled { kind: words(&kind.into()) });
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
            AvatarCommand::Say { utterance, audio } => self.say(utterance, audio)?,
            AvatarCommand::Speak { utterance, audio } => self.speak(utterance, audio)?,
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
                self.timers.after(Timer::Interrupt, now, self.config.interrupt_timeout);
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

    fn link_proof(&self) -> LinkProof {
        match self.state {
            State::Interrupting | State::Ready => LinkProof::Ready,
            State::Closing | State::Down | State::Finished | State::Initialising | State::Opened => {
                LinkProof::Opened
            }
        }
    }

    fn close_command() -> Option<AvatarCommand> {
        Some(AvatarCommand::Close)
    }
}

/// Links in a row on which the service stayed silent.
const MAX_SILENT_LINKS: u32 = 3;
