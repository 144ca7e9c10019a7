//! The vendor's side of the avatar's socket.

mod api;
mod check;
mod speaking;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

pub use self::api::{
    AvatarServerCommand, AvatarServerConfig, AvatarServerEvent, HostedSession, HostedStatus,
};
use self::check::{Accepted, check_init};
use super::playback::Playback;
use super::wire::{self, FromClient, InitMessage, ToClient};
use super::{AvatarQuirk, Revision, VendorError};
use crate::json::decode;
use crate::{CloseFrame, CommandError, Input, Machine, Message, ProtocolError, TimerKind, Timers};

/// One avatar server, one link at a time: checks what arrives in the vendor's order, answers in its
/// words, and models the avatar's mouth.
///
/// It outlives its links as the service does: a session that was initialised can be initialised
/// again on the next one, unless a quirk or an expiry ended it.
///
/// ```
/// use std::time::Instant;
/// use voxline_protocol::agenthuman::{AvatarServer, AvatarServerConfig, HostedSession, Revision};
/// use voxline_protocol::{Input, Machine, Message};
///
/// let session = HostedSession::new("sess_1", "token", Revision::B);
/// let mut server = AvatarServer::new(AvatarServerConfig::new(vec![session]));
/// let now = Instant::now();
/// server.handle_input(now, Input::Opened)?;
/// server.handle_input(now, Input::Text(r#"{"type":"ping"}"#))?;
/// let Some(Message::Text(answer)) = server.poll_transmit() else { panic!() };
/// assert_eq!(answer, r#"{"type":"error","error":"First message must be session.init"}"#);
/// # Ok::<(), voxline_protocol::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct AvatarServer {
    config: AvatarServerConfig,
    now: Option<Instant>,
    state: State,
    mouth: Playback,
    /// The session whose speech is in the mouth.
    speaking: Option<String>,
    is_closing: bool,
    /// Speak messages of this link.
    speaks: u64,
    inits: u64,
    due: VecDeque<Due>,
    timers: Timers<Timer>,
    outbox: VecDeque<Message>,
    events: VecDeque<AvatarServerEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    NoLink,
    /// Open; nothing but `session.init` is allowed.
    Greeting,
    /// A session of this id is established.
    Established(String),
}

/// A confirmation that is due later.
#[derive(Debug)]
struct Due {
    at: Instant,
    text: String,
}

/// The waits of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// A delayed confirmation is due.
    Confirm,
    /// The established session ends by itself.
    Expiry,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Confirm, Self::Expiry];

    fn index(self) -> usize {
        self as usize
    }
}

impl AvatarServer {
    /// A server without a link.
    #[must_use]
    pub fn new(config: AvatarServerConfig) -> Self {
        Self {
            config,
            now: None,
            state: State::NoLink,
            mouth: Playback::default(),
            speaking: None,
            is_closing: false,
            speaks: 0,
            inits: 0,
            due: VecDeque::new(),
            timers: Timers::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// How much speech the avatar has still to say at `now`.
    #[must_use]
    pub fn queued(&self, now: Instant) -> Duration {
        self.mouth.ahead(now)
    }

    /// The session of that id, as this server sees it.
    #[must_use]
    pub fn session(&self, session_id: &str) -> Option<&HostedSession> {
        self.config.sessions.iter().find(|session| session.session_id == session_id)
    }

    fn has(&self, quirk: AvatarQuirk) -> bool {
        self.config.quirks.contains(&quirk)
    }

    fn on_opened(&mut self) {
        if self.state != State::NoLink {
            self.on_closed();
        }
        self.state = State::Greeting;
        self.speaks = 0;
        self.is_closing = false;
        self.outbox.clear();
        if self.has(AvatarQuirk::GreetFirst) {
            self.send(&ToClient { kind: wire::ESTABLISHED, ..ToClient::default() });
        }
        if self.has(AvatarQuirk::WebrtcOffer) {
            self.outbox.push_back(Message::Text(json!({ "type": "webrtc.offer", "sdp": "v=0" }).to_string()));
        }
    }

    fn on_closed(&mut self) {
        let session_id = match std::mem::replace(&mut self.state, State::NoLink) {
            State::NoLink => return,
            State::Greeting => None,
            State::Established(id) => Some(id),
        };
        self.due.clear();
        self.outbox.clear();
        self.timers.stop_all();
        let ends_session = session_id.is_some() && self.has(AvatarQuirk::EndOnDisconnect);
        if let Some(id) = session_id.as_deref().filter(|_| ends_session) {
            self.end_session(id);
        }
        self.events.push_back(AvatarServerEvent::Disconnected { session_id, ends_session });
    }

    fn end_session(&mut self, id: &str) {
        self.mouth.clear();
        if let Some(session) = self.config.sessions.iter_mut().find(|session| session.session_id == id) {
            session.status = HostedStatus::Ended;
        }
    }

    fn on_text(&mut self, now: Instant, text: &str) {
        if self.state == State::NoLink || self.is_closing {
            return;
        }
        if self.has(AvatarQuirk::SmallMessages) && text.len() > Revision::B.max_message_bytes() {
            self.close(CloseFrame::new(TOO_BIG, ""));
            return;
        }
        if self.has(AvatarQuirk::BinaryAnswer) {
            self.outbox.push_back(Message::Binary(Bytes::from_static(b"\0")));
        }
        let Ok(message) = decode::<FromClient<'_>>(text) else {
            return self.refuse(VendorError::InvalidJson, false);
        };
        let kind = message.kind.as_deref().unwrap_or_default();
        let is_established = matches!(self.state, State::Established(_));
        match kind {
            wire::INIT => self.on_init(now, text),
            _ if !is_established => self.refuse(VendorError::InitRequired, true),
            wire::SPEAK | wire::INTERRUPT if !self.is_session_alive(now) => {
                self.refuse(VendorError::SessionNotFound, false);
            }
            wire::SPEAK => self.on_speak(now, text),
            wire::INTERRUPT => self.on_interrupt(now),
            other => self.refuse(VendorError::UnknownMessageType { kind: other.to_owned() }, false),
        }
    }

    fn on_init(&mut self, now: Instant, text: &str) {
        self.inits += 1;
        if self.has(AvatarQuirk::SilentInit) {
            return;
        }
        let is_first = self.inits == 1;
        let has = |once, always| self.has(always) || (is_first && self.has(once));
        if has(AvatarQuirk::NotFoundOnce, AvatarQuirk::NeverFound) {
            return self.refuse(VendorError::SessionNotFound, false);
        }
        if has(AvatarQuirk::NoVideoPathOnce, AvatarQuirk::NoVideoPath) {
            return self.refuse(VendorError::SessionConfigUnavailable, true);
        }
        let verdict = match decode::<InitMessage>(text) {
            Ok(init) => check_init(&init, &self.config.sessions, now),
            Err(_) => Err(VendorError::InvalidSessionConfiguration),
        };
        match verdict {
            Ok(accepted) => self.establish(accepted),
            Err(error) => {
                let closes = error != VendorError::SessionNotFound;
                self.refuse(error, closes);
            }
        }
    }

    fn establish(&mut self, accepted: Accepted) {
        let Accepted { session_id, revision, room } = accepted;
        let own = session_id.as_str();
        let named = if self.has(AvatarQuirk::ForeignSessionId) {
            Some("sess_of_somebody_else")
        } else {
            Some(own).filter(|_| !self.has(AvatarQuirk::NoSessionId))
        };
        self.send(&ToClient { kind: wire::ESTABLISHED, session_id: named, ..ToClient::default() });
        if self.has(AvatarQuirk::UnknownEvent) {
            self.send(&ToClient { kind: "avatar.mood", ..ToClient::default() });
        }
        if self.has(AvatarQuirk::UnknownError) {
            self.send_error("The avatar is shy today");
        }
        match self.session(own).and_then(|session| session.expires_at) {
            Some(at) => self.timers.set(Timer::Expiry, at),
            None => self.timers.stop(Timer::Expiry),
        }
        if self.speaking.as_ref() != Some(&session_id) {
            self.mouth.clear();
            self.speaking = Some(session_id.clone());
        }
        self.state = State::Established(session_id.clone());
        self.events.push_back(AvatarServerEvent::Established { session_id, revision, room });
    }

    fn is_session_alive(&self, now: Instant) -> bool {
        match &self.state {
            State::NoLink | State::Greeting => false,
            State::Established(id) => self.session(id).is_some_and(|session| {
                session.status == HostedStatus::Started && session.expires_at.is_none_or(|at| at > now)
            }),
        }
    }

    fn send(&mut self, message: &ToClient<'_>) {
        self.outbox.push_back(Message::Text(message.to_text()));
    }

    /// Closes the link; what still comes on it is not read.
    fn close(&mut self, frame: CloseFrame) {
        self.is_closing = true;
        self.outbox.push_back(Message::Close(frame));
    }

    fn send_error(&mut self, text: &str) {
        let kind = if self.has(AvatarQuirk::ErrorTypeSuffix) { "session.error" } else { wire::ERROR };
        let mut message = ToClient { kind, ..ToClient::default() };
        if self.has(AvatarQuirk::ErrorInMessage) {
            message.message = Some(text);
        } else if self.has(AvatarQuirk::ErrorAsObject) {
            message.error = Some(json!({ "message": text, "code": "ERROR" }));
        } else {
            message.error = Some(Value::from(text));
        }
        self.send(&message);
    }

    /// Says what is wrong. Whether the service then closes is not documented: errors of the
    /// handshake do here, later ones do not, unless a quirk says otherwise.
    fn refuse(&mut self, error: VendorError, closes: bool) {
        self.send_error(&error.to_string());
        self.events.push_back(AvatarServerEvent::Error(error));
        let closes = (closes && !self.has(AvatarQuirk::KeepOnError)) || self.has(AvatarQuirk::CloseOnError);
        if closes {
            self.close(CloseFrame::new(CloseFrame::POLICY_VIOLATION, ""));
        }
    }

    fn on_expired(&mut self) {
        if let State::Established(id) = &self.state {
            let session_id = id.clone();
            self.end_session(&session_id);
            self.events.push_back(AvatarServerEvent::SessionExpired { session_id });
            self.refuse(VendorError::SessionNotFound, false);
        }
    }
}

impl Machine for AvatarServer {
    type Command = AvatarServerCommand;
    type Event = AvatarServerEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        match input {
            Input::Opened => self.on_opened(),
            Input::Text(text) => self.on_text(now, text),
            Input::Binary(_) => self.refuse(VendorError::InvalidJson, false),
            Input::Closed(_) => self.on_closed(),
        }
        Ok(())
    }

    fn handle_command(&mut self, now: Instant, command: AvatarServerCommand) -> Result<(), CommandError> {
        self.now = Some(self.now.map_or(now, |last| last.max(now)));
        match command {
            AvatarServerCommand::Close(frame) => self.close(frame),
            AvatarServerCommand::Host(hosted) => {
                self.config.sessions.retain(|session| session.session_id != hosted.session_id);
                self.config.sessions.push(*hosted);
            }
            AvatarServerCommand::Send(text) => self.outbox.push_back(Message::Text(text)),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Confirm => self.release(),
                Timer::Expiry => self.on_expired(),
            }
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.outbox.pop_front()
    }

    fn poll_event(&mut self) -> Option<AvatarServerEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Never: the next client may come.
    fn is_finished(&self) -> bool {
        false
    }
}

/// RFC 6455 §7.4.1: message too big.
const TOO_BIG: u16 = 1009;
