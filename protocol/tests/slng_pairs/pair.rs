//! Two machines, the link between them, and the clock.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use voxline_protocol::slng::Quirks;
use voxline_protocol::{CloseFrame, Input, Machine, Message, ProtocolError};

/// SplitMix64: the same numbers for the same seed, everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.within(range.start * 1_000..range.end * 1_000))
    }
}

/// What stands behind the gateway's machine: hears its events, and gives it commands in its own time.
pub(crate) trait Backend<S: Machine>: Debug {
    /// A new link: nothing of the old one counts.
    fn reset(&mut self);
    fn on_event(&mut self, now: Instant, event: S::Event, random: &mut Random);
    fn next_at(&self) -> Option<Instant>;
    fn take(&mut self, now: Instant) -> Option<S::Command>;
}

/// One step of the client's side of a link.
#[derive(Debug)]
pub(crate) enum Received {
    NewLink,
    Message(Message),
    /// The client closed it: what still comes is not for it.
    GivenUp,
}

#[derive(Debug)]
pub(crate) struct Pair<C: Machine, S: Machine, B> {
    pub(crate) now: Instant,
    pub(crate) client: C,
    pub(crate) backend: B,
    pub(crate) random: Random,
    server: Option<S>,
    to_server: VecDeque<(Instant, Message)>,
    to_client: VecDeque<(Instant, Message)>,
    /// Milliseconds a message takes, drawn anew for each; order is kept.
    latency: Range<u64>,
    /// Milliseconds until a lost link is dialled again.
    pub(crate) outage: Range<u64>,
    redial_at: Option<Instant>,
    /// Every event of the client, and when.
    pub(crate) told: Vec<(Instant, C::Event)>,
    pub(crate) failed: Option<ProtocolError>,
    pub(crate) links: u32,
    make_server: fn(Quirks, Instant) -> S,
    quirks: Quirks,
    /// Messages that reached the gateway.
    pub(crate) arrived: Vec<(Instant, Message)>,
    pub(crate) keep_arrived: bool,
    /// What reached the client, each with the number of events told before.
    pub(crate) received: Vec<(usize, Received)>,
    pub(crate) keep_received: bool,
    /// The application takes events only when it is told to listen.
    pub(crate) lazy: bool,
    /// The link takes nothing from the client.
    pub(crate) jammed: bool,
}

impl<C: Machine, S: Machine, B: Backend<S>> Pair<C, S, B> {
    /// `make_server` gets `quirks` for every link, so a pair's gateway keeps its character.
    pub(crate) fn new(
        client: C,
        backend: B,
        make_server: fn(Quirks, Instant) -> S,
        quirks: Quirks,
        latency: Range<u64>,
        seed: u64,
    ) -> Self {
        Self {
            now: start(),
            client,
            backend,
            random: Random(seed),
            server: None,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            latency,
            outage: 50..500,
            redial_at: Some(start()),
            told: Vec::new(),
            failed: None,
            links: 0,
            make_server,
            quirks,
            arrived: Vec::new(),
            keep_arrived: false,
            received: Vec::new(),
            keep_received: false,
            lazy: false,
            jammed: false,
        }
    }

    pub(crate) fn command(&mut self, command: C::Command) {
        self.client.handle_command(self.now, command).unwrap();
        self.pump();
    }

    /// The link breaks without a word; what was on its way is gone.
    pub(crate) fn cut(&mut self) {
        if self.server.is_some() {
            self.drop_link(None);
            self.pump();
        }
    }

    /// The gateway ends the link in the middle of whatever it is doing.
    pub(crate) fn hang_up(&mut self, frame: CloseFrame) {
        if self.server.is_some() {
            let at = arrival(&self.to_client, self.now, self.random.millis(self.latency.clone()));
            self.to_client.push_back((at, Message::Close(frame)));
            self.run(at - self.now);
        }
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut steps = 0;
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            steps += 1;
            assert!(steps < 1_000_000, "time stands still at {:?}", self.now - start());
            self.now = self.now.max(at);
            self.step();
            self.pump();
        }
        self.now = end;
    }

    /// Takes every event there is.
    pub(crate) fn listen(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.told.push((self.now, event));
        }
    }

    /// What was told, in one number.
    pub(crate) fn trace_hash(&self) -> u64 {
        let mut trace = DefaultHasher::new();
        for (at, event) in &self.told {
            ((*at - start()).as_nanos(), format!("{event:?}")).hash(&mut trace);
        }
        trace.finish()
    }

    fn next_at(&self) -> Option<Instant> {
        let up = self.server.is_some();
        let client = self.client.poll_timeout();
        let server = self.server.as_ref().and_then(Machine::poll_timeout);
        let wires = [self.to_server.front(), self.to_client.front()].into_iter().flatten().map(|(at, _)| *at);
        let backend = self.backend.next_at().filter(|_| up);
        let redial = self.redial_at.filter(|_| !self.client.is_finished() && self.failed.is_none());
        wires.chain(client.filter(|_| self.failed.is_none())).chain(server).chain(backend).chain(redial).min()
    }

    fn step(&mut self) {
        let now = self.now;
        if self.redial_at.is_some_and(|at| at <= now) {
            self.redial_at = None;
            self.links += 1;
            let mut server = (self.make_server)(self.quirks, now);
            server.handle_input(now, Input::Opened).unwrap();
            self.server = Some(server);
            self.backend.reset();
            self.keep(Received::NewLink);
            self.input(Input::Opened);
        }
        if let Some((_, message)) = pop_due(&mut self.to_server, now) {
            if self.keep_arrived {
                self.arrived.push((now, message.clone()));
            }
            match message {
                Message::Text(text) => self.server_input(Input::Text(&text)),
                Message::Binary(bytes) => self.server_input(Input::Binary(bytes)),
                Message::Close(frame) => self.drop_link(Some(frame)),
            }
        }
        if let Some((_, message)) = pop_due(&mut self.to_client, now) {
            if self.keep_received {
                self.keep(Received::Message(message.clone()));
            }
            match message {
                Message::Text(text) => self.input(Input::Text(&text)),
                Message::Binary(bytes) => self.input(Input::Binary(bytes)),
                Message::Close(frame) => self.drop_link(Some(frame)),
            }
        }
        if self.client.poll_timeout().is_some_and(|at| at <= now) && self.failed.is_none() {
            self.failed = self.client.handle_timeout(now).err();
        }
        if let Some(server) =
            self.server.as_mut().filter(|server| server.poll_timeout().is_some_and(|at| at <= now))
        {
            server.handle_timeout(now).unwrap();
        }
        if let Some(server) = &mut self.server
            && self.backend.next_at().is_some_and(|at| at <= now)
            && let Some(command) = self.backend.take(now)
        {
            // A link that is over refuses; the backend need not know.
            let _ = server.handle_command(now, command);
        }
    }

    fn keep(&mut self, received: Received) {
        if self.keep_received {
            self.received.push((self.told.len(), received));
        }
    }

    fn input(&mut self, input: Input<'_>) {
        if self.failed.is_none() {
            self.failed = self.client.handle_input(self.now, input).err();
        }
    }

    fn server_input(&mut self, input: Input<'_>) {
        if let Some(server) = &mut self.server {
            server.handle_input(self.now, input).unwrap();
        }
    }

    fn drop_link(&mut self, frame: Option<CloseFrame>) {
        self.server_input(Input::Closed(frame.clone()));
        self.server = None;
        self.to_server.clear();
        self.to_client.clear();
        self.input(Input::Closed(frame));
        self.redial_at = Some(self.now + self.random.millis(self.outage.clone()));
    }

    /// Moves everything that can move without time passing.
    fn pump(&mut self) {
        let now = self.now;
        while let Some(server) = &mut self.server {
            let mut moved = false;
            while !self.jammed
                && let Some(message) = self.client.poll_transmit()
            {
                moved = true;
                if self.keep_received && matches!(message, Message::Close(_)) {
                    self.received.push((self.told.len(), Received::GivenUp));
                }
                let at = arrival(&self.to_server, now, self.random.millis(self.latency.clone()));
                self.to_server.push_back((at, message));
            }
            while let Some(message) = server.poll_transmit() {
                moved = true;
                let at = arrival(&self.to_client, now, self.random.millis(self.latency.clone()));
                self.to_client.push_back((at, message));
            }
            while let Some(event) = server.poll_event() {
                moved = true;
                self.backend.on_event(now, event, &mut self.random);
            }
            if !moved {
                break;
            }
        }
        if !self.lazy {
            self.listen();
        }
    }
}

fn arrival(wire: &VecDeque<(Instant, Message)>, now: Instant, latency: Duration) -> Instant {
    wire.back().map_or(now + latency, |(last, _)| (now + latency).max(*last))
}

fn pop_due(wire: &mut VecDeque<(Instant, Message)>, now: Instant) -> Option<(Instant, Message)> {
    wire.front().filter(|(at, _)| *at <= now)?;
    wire.pop_front()
}

/// One moment for the whole process: virtual time only ever adds to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
pub(crate) fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}
