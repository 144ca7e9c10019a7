//! The two machines, the network between them, and the clock.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use voxline_protocol::plivo::{
    CallerEvent, PlivoCaller, PlivoCallerConfig, PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream,
};
use voxline_protocol::{CloseFrame, Input, Machine, Message};

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
        range.start + self.next() % (range.end - range.start).max(1)
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.within(range.start * 1_000..range.end * 1_000))
    }

    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }
}

/// Milliseconds each message takes, drawn anew for every message; order is kept.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) to_plivo: Range<u64>,
    pub(crate) to_us: Range<u64>,
}

/// What each side said, and when.
#[derive(Debug)]
pub(crate) enum Said {
    Stream(PlivoEvent),
    Caller(CallerEvent),
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) stream: PlivoStream,
    pub(crate) caller: PlivoCaller,
    pub(crate) random: Random,
    network: Network,
    to_plivo: VecDeque<(Instant, Message)>,
    to_us: VecDeque<(Instant, Message)>,
    /// Our side does nothing before this.
    stalled_until: Instant,
    /// Nothing arrives any more, and nobody is told.
    black_hole: bool,
    /// One in so many of the caller's media messages is carried: the others, all silence, cost most of the work.
    media_every: u64,
    media: u64,
    dial_at: Option<Instant>,
    dials: u32,
    up: bool,
    pub(crate) said: Vec<(Instant, Said)>,
    /// `clearAudio` messages that left.
    pub(crate) clears_sent: u64,
}

impl Pair {
    pub(crate) fn new(config: PlivoConfig, caller: PlivoCallerConfig, network: Network, seed: u64) -> Self {
        let now = start();
        let mut pair = Self {
            now,
            stream: PlivoStream::new(config, now),
            caller: PlivoCaller::new(caller, now),
            random: Random(seed),
            network,
            to_plivo: VecDeque::new(),
            to_us: VecDeque::new(),
            stalled_until: now,
            black_hole: false,
            media_every: 1,
            media: 0,
            dial_at: Some(now),
            dials: 0,
            up: false,
            said: Vec::new(),
            clears_sent: 0,
        };
        while pair.stream.info().is_none() {
            pair.run(Duration::from_millis(50));
        }
        pair
    }

    /// A pair for what does not depend on the caller's own voice: cheap enough to be played many thousand times.
    pub(crate) fn thin(config: PlivoConfig, caller: PlivoCallerConfig, network: Network, seed: u64) -> Self {
        Self { media_every: 25, ..Self::new(config, caller, network, seed) }
    }

    /// Lets time pass until all that was given is heard and acknowledged, whatever the link does.
    pub(crate) fn settle(&mut self) {
        let limit = self.now + Duration::from_secs(30);
        while self.is_busy() {
            assert!(self.now < limit, "never quiet");
            self.run(Duration::from_millis(100));
        }
        self.run(TRAVEL);
    }

    fn is_busy(&self) -> bool {
        let carried = self.up
            && !self.black_hole
            && self.stream.info().is_some_and(|info| info.life.get() + 1 == self.dials);
        !carried
            || !self.to_plivo.is_empty()
            || !self.stream.queued().is_zero()
            || !self.caller.queued().is_zero()
    }

    /// Lets `span` pass; afterwards both machines know what time it is.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut turns = 0_u64;
        while let Some(at) = self.next_moment().filter(|at| *at <= end) {
            turns += 1;
            assert!(turns < 10_000_000, "somebody asks to be woken without end");
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = end;
        self.caller.handle_timeout(end).unwrap();
        self.drain_caller();
    }

    pub(crate) fn ask(&mut self, command: PlivoCommand) {
        self.stream.handle_command(self.now, command).unwrap();
        self.drain_stream();
    }

    /// Our side's scheduler sleeps.
    pub(crate) fn stall(&mut self, span: Duration) {
        self.stalled_until = self.stalled_until.max(self.now + span);
    }

    /// The link breaks: both sides see it at once, what is on its way is lost.
    pub(crate) fn break_link(&mut self) {
        if self.up {
            self.hang_link(None, None);
        }
    }

    /// Nothing arrives any more on this link.
    pub(crate) fn swallow(&mut self) {
        self.black_hole = true;
        self.to_plivo.clear();
        self.to_us.clear();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stream.is_finished()
    }

    fn hang_link(&mut self, to_plivo: Option<CloseFrame>, to_us: Option<CloseFrame>) {
        self.up = false;
        self.to_plivo.clear();
        self.to_us.clear();
        self.caller.handle_input(self.now, Input::Closed(to_plivo)).unwrap();
        self.stream.handle_input(self.now, Input::Closed(to_us)).unwrap();
        self.drain_stream();
        self.drain_caller();
    }

    fn next_moment(&self) -> Option<Instant> {
        let ours = [self.to_us.front().map(|(at, _)| *at), self.stream.poll_timeout()];
        let ours = ours.into_iter().flatten().min().map(|at| at.max(self.stalled_until));
        let theirs = [self.to_plivo.front().map(|(at, _)| *at), self.caller.poll_timeout(), self.dial_at];
        ours.into_iter().chain(theirs.into_iter().flatten()).min()
    }

    fn turn(&mut self) {
        if self.dial_at.is_some_and(|at| at <= self.now) {
            self.dial_at = None;
            self.dials += 1;
            self.up = true;
            self.black_hole = false;
            self.to_plivo.clear();
            self.to_us.clear();
            self.stream.handle_input(self.now, Input::Opened).unwrap();
            self.caller.handle_input(self.now, Input::Opened).unwrap();
        }
        while let Some(message) = arrived(&mut self.to_plivo, self.now) {
            match message {
                Message::Text(text) => self.caller.handle_input(self.now, Input::Text(&text)).unwrap(),
                Message::Binary(bytes) => self.caller.handle_input(self.now, Input::Binary(bytes)).unwrap(),
                Message::Close(frame) => self.hang_link(Some(frame), Some(CloseFrame::normal())),
            }
            self.drain_caller();
        }
        if self.caller.poll_timeout().is_some_and(|at| at <= self.now) {
            self.caller.handle_timeout(self.now).unwrap();
        }
        self.drain_caller();
        if self.stalled_until > self.now {
            return;
        }
        while let Some(message) = arrived(&mut self.to_us, self.now) {
            match message {
                Message::Text(text) => self.stream_text(&text),
                Message::Binary(bytes) => self.stream.handle_input(self.now, Input::Binary(bytes)).unwrap(),
                Message::Close(frame) => self.hang_link(Some(CloseFrame::normal()), Some(frame)),
            }
            self.drain_stream();
        }
        if self.stream.poll_timeout().is_some_and(|at| at <= self.now) {
            self.stream.handle_timeout(self.now).unwrap();
        }
        self.drain_stream();
    }

    fn stream_text(&mut self, text: &str) {
        if self.stream.handle_input(self.now, Input::Text(text)).is_err() {
            self.hang_link(None, None);
        }
    }

    fn drain_stream(&mut self) {
        while let Some(message) = self.stream.poll_transmit() {
            if let Message::Text(text) = &message {
                self.clears_sent += u64::from(text.contains("\"clearAudio\""));
            }
            let delay = self.random.millis(self.network.to_plivo.clone());
            if self.up && !self.black_hole {
                post(&mut self.to_plivo, self.now + delay, message);
            } else if let Message::Close(frame) = message {
                // Our side gave a dead link up.
                self.hang_link(Some(frame), None);
            }
        }
        while let Some(event) = self.stream.poll_event() {
            self.said.push((self.now, Said::Stream(event)));
        }
    }

    fn drain_caller(&mut self) {
        while let Some(message) = self.caller.poll_transmit() {
            if self.is_thinned(&message) {
                continue;
            }
            let delay = self.random.millis(self.network.to_us.clone());
            if self.up && !self.black_hole {
                post(&mut self.to_us, self.now + delay, message);
            }
        }
        while let Some(event) = self.caller.poll_event() {
            if let CallerEvent::Redial { after, .. } = &event {
                self.dial_at = Some(self.now + *after);
            }
            self.said.push((self.now, Said::Caller(event)));
        }
    }

    fn is_thinned(&mut self, message: &Message) -> bool {
        let is_media = matches!(message, Message::Text(text) if text.starts_with(r#"{"event":"media""#));
        self.media += u64::from(is_media);
        is_media && !self.media.is_multiple_of(self.media_every)
    }
}

fn arrived(link: &mut VecDeque<(Instant, Message)>, now: Instant) -> Option<Message> {
    link.front().filter(|(at, _)| *at <= now)?;
    link.pop_front().map(|(_, message)| message)
}

fn post(link: &mut VecDeque<(Instant, Message)>, at: Instant, message: Message) {
    let at = link.back().map_or(at, |(last, _)| at.max(*last));
    link.push_back((at, message));
}

/// There and back on the slowest network of these tests, and the ticks at its ends.
const TRAVEL: Duration = Duration::from_millis(420);

#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
