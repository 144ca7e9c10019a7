//! The one shape every protocol has here: a value that is fed inputs and polled for outputs.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{CommandError, ProtocolError};

/// One end of one protocol, as a value: no socket, no clock, no task, no lock.
///
/// It outlives its links: [`Input::Opened`] and [`Input::Closed`] may come many times. What was
/// given to a machine and is not yet covered by the peer stays inside it, and is replayed on the
/// next link.
///
/// The caller's contract:
///
/// - After every `handle_*` call, poll `poll_transmit` and `poll_event` until they return `None`,
///   then arm one timer for `poll_timeout`. A machine may hold messages back until the link has
///   room, so poll `poll_transmit` only as fast as the link takes them.
/// - Time never goes backwards; an instant earlier than the last one counts as the last one.
/// - A late or an extra `handle_timeout` is harmless.
/// - The first `Err` of `handle_input` or `handle_timeout` is final: what was to be told before it may still be
///   polled, and nothing follows.
///
/// That is a loop over whatever brings messages and time: here a thread and two channels, which stand for a link
/// that is open. `voxline-session` has the one for Tokio, with links that come and go.
///
/// ```
/// use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
/// use std::time::{Duration, Instant};
/// use voxline_protocol::plivo::{PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream};
/// use voxline_protocol::{CloseFrame, Input, Machine, Message, ProtocolError};
///
/// enum Inbox<C> {
///     Asked(C),
///     Received(Message),
/// }
///
/// fn drive<M: Machine>(
///     machine: &mut M,
///     inbox: &Receiver<Inbox<M::Command>>,
///     link: &Sender<Message>,
/// ) -> Result<Vec<M::Event>, ProtocolError> {
///     let mut told = Vec::new();
///     machine.handle_input(Instant::now(), Input::Opened)?;
///     loop {
///         while let Some(message) = machine.poll_transmit() {
///             let _ = link.send(message); // a real link is asked first whether it has room
///         }
///         told.extend(std::iter::from_fn(|| machine.poll_event()));
///         if machine.is_finished() {
///             return Ok(told);
///         }
///         let due = machine.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
///         let came = inbox.recv_timeout(due.unwrap_or(Duration::from_secs(60)));
///         let now = Instant::now();
///         match came {
///             Ok(Inbox::Asked(command)) => {
///                 if let Err(refusal) = machine.handle_command(now, command) {
///                     eprintln!("{refusal} ({})", refusal.code());
///                 }
///             }
///             Ok(Inbox::Received(Message::Text(text))) => machine.handle_input(now, Input::Text(&text))?,
///             Ok(Inbox::Received(Message::Binary(bytes))) => machine.handle_input(now, Input::Binary(bytes))?,
///             Ok(Inbox::Received(Message::Close(frame))) => machine.handle_input(now, Input::Closed(Some(frame)))?,
///             Err(RecvTimeoutError::Timeout) => machine.handle_timeout(now)?,
///             Err(RecvTimeoutError::Disconnected) => machine.handle_input(now, Input::Closed(None))?,
///         }
///     }
/// }
///
/// let (inbox, ours) = channel();
/// let (link, theirs) = channel();
/// let start = r#"{"event":"start","start":{"callId":"c","streamId":"s",
///     "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}}}"#;
/// inbox.send(Inbox::Received(Message::Text(start.into())))?;
/// inbox.send(Inbox::Asked(PlivoCommand::Play(vec![0xff; 160].into())))?;
/// inbox.send(Inbox::Asked(PlivoCommand::Close))?;
/// inbox.send(Inbox::Received(Message::Close(CloseFrame::normal())))?;
///
/// let mut stream = PlivoStream::new(PlivoConfig::default(), Instant::now());
/// let told = drive(&mut stream, &ours, &link)?;
/// assert!(matches!(told[..], [PlivoEvent::Started(_), PlivoEvent::Closed]));
/// assert!(matches!(theirs.recv()?, Message::Text(text) if text.contains("playAudio")));
/// assert_eq!(theirs.recv()?, Message::Close(CloseFrame::normal()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Machine: fmt::Debug + Send + 'static {
    /// What the application may ask, as a value that can cross a channel.
    type Command: fmt::Debug + Send + 'static;
    /// What the application is told.
    type Event: fmt::Debug + Send + 'static;

    /// Takes what the link delivered.
    ///
    /// # Errors
    /// The peer broke the protocol in a way the session cannot survive. Final.
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError>;

    /// Takes what the application asks.
    ///
    /// # Errors
    /// The command was refused; the machine is as it was before, and goes on.
    fn handle_command(&mut self, now: Instant, command: Self::Command) -> Result<(), CommandError>;

    /// Lets every timer that is due by `now` fire.
    ///
    /// # Errors
    /// A deadline passed without which the session cannot go on. Final.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError>;

    /// The next message for the link, if there is one to send now.
    #[must_use]
    fn poll_transmit(&mut self) -> Option<Message>;

    /// The next event for the application.
    #[must_use]
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When `handle_timeout` wants to be called next.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant>;

    /// True once the session (not the link) is over and its last event was polled.
    fn is_finished(&self) -> bool;

    /// Whether a barge-in makes this event worthless: audio is, a transcript is not.
    #[must_use]
    fn is_perishable(_event: &Self::Event) -> bool {
        false
    }

    /// What the link that is up has shown itself to be good for; of no meaning without one.
    ///
    /// Earlier failures are forgotten only over a link that stayed [`LinkProof::Ready`] for a while or
    /// was [`LinkProof::Useful`]. In a protocol whose peer agrees to nothing first, an open link is
    /// ready.
    #[must_use]
    fn link_proof(&self) -> LinkProof {
        LinkProof::Ready
    }

    /// Whether something waits for a link: without one, the next is then dialled in a hurry.
    #[must_use]
    fn wants_link(&self) -> bool {
        false
    }

    /// A wait the peer asked for since the last call: nobody should dial it sooner.
    #[must_use]
    fn poll_hold(&mut self) -> Option<Duration> {
        None
    }

    /// The command that asks for the orderly end of the session, in a protocol that has one: what a
    /// driver gives once nobody is left to give commands. Without one, closing the link is the end.
    #[must_use]
    fn close_command() -> Option<Self::Command> {
        None
    }
}

/// What the link tells a machine. Text is borrowed, audio is shared.
///
/// Exhaustive on purpose, like [`Message`]: a new kind must break every adapter's build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new kind must break every adapter's build")]
pub enum Input<'a> {
    /// A link is open; the next messages travel on it.
    Opened,
    /// One whole text message.
    Text(&'a str),
    /// One whole binary message.
    Binary(Bytes),
    /// The link is gone, with the peer's close frame if it sent one.
    Closed(Option<CloseFrame>),
}

/// What a link has shown itself to be good for. A peer that accepts every link and then says nothing,
/// or refuses, has shown nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "whoever dials must have an answer to each")]
pub enum LinkProof {
    /// It is open, and nothing more.
    Opened,
    /// The peer has agreed to work.
    Ready,
    /// It has done what it was opened for.
    Useful,
}

/// What a machine tells the link. Pings and pongs are the transport's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new kind must break every adapter's build")]
pub enum Message {
    /// One whole text message.
    Text(String),
    /// One whole binary message.
    Binary(Bytes),
    /// The orderly end of this link: what was sent before it still arrives.
    Close(CloseFrame),
}

/// Why a link was closed: RFC 6455 §7.4.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// The status code, 1000 for a normal end.
    pub code: u16,
    /// The closer's own words, often empty.
    pub reason: String,
}

impl CloseFrame {
    /// A normal end.
    pub const NORMAL: u16 = 1000;
    /// The peer did what it must not: RFC 6455 §7.4.1.
    pub const POLICY_VIOLATION: u16 = 1008;

    /// A frame from its two parts.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Code 1000 without words.
    #[must_use]
    pub const fn normal() -> Self {
        Self { code: Self::NORMAL, reason: String::new() }
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() {
            write!(f, "close {}", self.code)
        } else {
            write!(f, "close {} ({})", self.code, self.reason)
        }
    }
}
