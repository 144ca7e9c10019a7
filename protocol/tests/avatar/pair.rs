//! Both machines, a link with a delay between them, and a clock that only moves when told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use voxline_protocol::agenthuman::{
    AvatarClient, AvatarClientConfig, AvatarCommand, AvatarEvent, AvatarServer, AvatarServerCommand,
    AvatarServerConfig, AvatarServerEvent, AvatarSession, HostedSession, Revision, RoomAccess, VideoSize,
};
use voxline_protocol::{CloseFrame, CommandError, Input, Machine, Message, ProtocolError, Secret};

/// Two machines, the messages on their way, and everything both sides said.
pub(crate) struct Pair {
    pub(crate) client: AvatarClient,
    pub(crate) server: AvatarServer,
    pub(crate) now: Instant,
    pub(crate) delay: Duration,
    is_open: bool,
    to_server: VecDeque<(Instant, Message)>,
    to_client: VecDeque<(Instant, Message)>,
    /// What the client sent, as text, with the instant.
    pub(crate) sent: Vec<(Instant, Message)>,
    pub(crate) events: Vec<(Instant, AvatarEvent)>,
    pub(crate) server_events: Vec<(Instant, AvatarServerEvent)>,
    pub(crate) failure: Option<ProtocolError>,
}

impl Pair {
    pub(crate) fn new(client: AvatarClientConfig, server: AvatarServerConfig) -> Self {
        let now = instant();
        Self {
            client: AvatarClient::new(client),
            server: AvatarServer::new(server),
            now,
            delay: Duration::from_millis(20),
            is_open: false,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            sent: Vec::new(),
            events: Vec::new(),
            server_events: Vec::new(),
            failure: None,
        }
    }

    /// A client and a server that know the same session.
    pub(crate) fn of(revision: Revision, quirk: Option<&str>) -> Self {
        let mut config = AvatarServerConfig::new(vec![HostedSession::new("sess_1", "secret", revision)]);
        if let Some(name) = quirk {
            config = config.with_quirk(voxline_protocol::agenthuman::AvatarQuirk::parse(name).unwrap());
        }
        Self::new(AvatarClientConfig::new(session(revision, "sess_1")), config)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn open(&mut self) {
        assert!(!self.is_open);
        self.is_open = true;
        self.to_server.clear();
        self.to_client.clear();
        let now = self.now;
        let outcome = self.server.handle_input(now, Input::Opened);
        self.note(outcome);
        let outcome = self.client.handle_input(now, Input::Opened);
        self.note(outcome);
        self.settle();
    }

    /// The link breaks; what is on its way is lost.
    pub(crate) fn cut(&mut self) {
        self.end(None);
    }

    fn end(&mut self, frame: Option<CloseFrame>) {
        if !self.is_open {
            return;
        }
        self.is_open = false;
        self.to_server.clear();
        self.to_client.clear();
        let now = self.now;
        let outcome = self.server.handle_input(now, Input::Closed(None));
        self.note(outcome);
        let outcome = self.client.handle_input(now, Input::Closed(frame));
        self.note(outcome);
        self.settle();
    }

    pub(crate) fn ask(&mut self, command: AvatarCommand) -> Result<(), CommandError> {
        let outcome = self.client.handle_command(self.now, command);
        self.settle();
        outcome
    }

    /// Asks something of the server's side.
    pub(crate) fn serve(&mut self, command: AvatarServerCommand) {
        self.server.handle_command(self.now, command).unwrap();
        self.settle();
    }

    /// Lets `span` pass; every message and timer happens at its own moment.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.next_moment().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    fn next_moment(&self) -> Option<Instant> {
        let due = |queue: &VecDeque<(Instant, Message)>| queue.front().map(|(at, _)| *at);
        [due(&self.to_server), due(&self.to_client), self.client.poll_timeout(), self.server.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn step(&mut self) {
        let now = self.now;
        if self.to_server.front().is_some_and(|(at, _)| *at <= now) {
            match self.to_server.pop_front().unwrap().1 {
                Message::Close(frame) => return self.end(Some(frame)),
                message => {
                    let outcome = deliver(&mut self.server, now, &message);
                    self.note(outcome);
                }
            }
        } else if self.to_client.front().is_some_and(|(at, _)| *at <= now) {
            match self.to_client.pop_front().unwrap().1 {
                Message::Close(frame) => return self.end(Some(frame)),
                message => {
                    let outcome = deliver(&mut self.client, now, &message);
                    self.note(outcome);
                }
            }
        } else {
            let outcome = self.client.handle_timeout(now);
            self.note(outcome);
            let outcome = self.server.handle_timeout(now);
            self.note(outcome);
        }
        self.settle();
    }

    fn settle(&mut self) {
        let now = self.now;
        while let Some(message) = self.client.poll_transmit() {
            self.sent.push((now, message.clone()));
            if self.is_open {
                self.to_server.push_back((now + self.delay, message));
            }
        }
        while let Some(message) = self.server.poll_transmit() {
            if self.is_open {
                self.to_client.push_back((now + self.delay, message));
            }
        }
        while let Some(event) = self.client.poll_event() {
            self.events.push((now, event));
        }
        while let Some(event) = self.server.poll_event() {
            self.server_events.push((now, event));
        }
    }

    fn note(&mut self, outcome: Result<(), ProtocolError>) {
        if let Err(error) = outcome {
            assert!(self.failure.is_none(), "failed twice");
            self.failure = Some(error);
        }
    }

    pub(crate) fn told(&self, wanted: impl Fn(&AvatarEvent) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }
}

fn deliver<M: Machine>(machine: &mut M, now: Instant, message: &Message) -> Result<(), ProtocolError> {
    match message {
        Message::Text(text) => machine.handle_input(now, Input::Text(text)),
        Message::Binary(bytes) => machine.handle_input(now, Input::Binary(bytes.clone())),
        Message::Close(frame) => machine.handle_input(now, Input::Closed(Some(frame.clone()))),
    }
}

pub(crate) fn session(revision: Revision, id: &str) -> AvatarSession {
    let secret = Secret::new("secret").unwrap();
    match revision {
        Revision::A => {
            let room = RoomAccess::daily("https://agenthuman.daily.co/demo", Secret::new("jwt").unwrap());
            AvatarSession::revision_a(id, secret, room, VideoSize::default())
        }
        _ => AvatarSession::revision_b(id, secret),
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}
