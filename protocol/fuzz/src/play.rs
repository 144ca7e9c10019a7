//! A call log played against one machine, whose outputs must keep what every machine promises.
//!
//! The logs are those of `protocol/tests/scripts`, read forgivingly: what a line expects is left out,
//! and a line that makes no sense is skipped. Some lines exist only here:
//!
//! ```text
//! < hex 52494646    the peer sends these bytes
//! late 5s           time passes, and nobody wakes the machine meanwhile
//! back 5s           the clock goes backwards
//! hold, flow        the link takes nothing more; it takes messages again
//! ```

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::{CloseFrame, Input, Machine, Message};

/// One kind of machine, and the account that is kept of what it is asked and what it tells.
pub(crate) trait Subject: Default + Debug {
    type Machine: Machine;

    fn machine(options: &Options<'_>, now: Instant) -> Self::Machine;
    /// What follows `!`; `None` if it is no command.
    fn command(line: &str) -> Option<<Self::Machine as Machine>::Command>;

    /// `command` is about to be given.
    fn asks(&mut self, _command: &<Self::Machine as Machine>::Command) {}
    /// The last command was taken.
    fn accepted(&mut self) {}
    /// The last command was not taken.
    fn refused(&mut self) {}
    fn told(&mut self, _event: &<Self::Machine as Machine>::Event) {}
    /// `first` on its link.
    fn sent(&mut self, _message: &Message, _first: bool) {}
    /// Everything the machine had to say was said.
    fn settled(&mut self, _machine: &Self::Machine, _now: Instant) {}
    /// The session ended well.
    fn finished(&mut self) {}

    fn is_closed(event: &<Self::Machine as Machine>::Event) -> bool;
}

/// The `key=value` words of a log's `machine` line.
#[derive(Debug, Default)]
pub(crate) struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    pub(crate) fn millis(&self, key: &str) -> Option<Duration> {
        self.number(key).map(|millis: u32| Duration::from_millis(millis.into()))
    }
}

/// Plays the log in `data`, then has the machine end.
pub(crate) fn play<S: Subject>(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).peekable();
    let options = lines.next_if(|line| line.starts_with("machine")).unwrap_or_default();
    let options = Options(options.split_whitespace().filter_map(|word| word.split_once('=')).collect());
    let mut stage = Stage::<S>::new(&options);
    for line in lines.take(MAX_LINES) {
        let (head, rest) = line.split_once(' ').map_or((line, ""), |(head, rest)| (head, rest.trim()));
        match head {
            "open" => stage.open(),
            "close" => stage.close(close_frame(rest)),
            "<" => match rest.split_once(' ') {
                Some(("audio", audio)) => {
                    if let Some(audio) = sound(audio) {
                        stage.binary(audio);
                    }
                }
                Some(("hex", bytes)) => stage.binary(hex(bytes)),
                Some(_) | None => stage.text(rest),
            },
            "!" => {
                if let Some(command) = S::command(rest) {
                    stage.command(command);
                }
            }
            "+" => stage.pass(duration(rest), true),
            "late" => stage.pass(duration(rest), false),
            "back" => stage.turn_back(duration(rest)),
            "hold" => stage.hold(true),
            "flow" => stage.hold(false),
            _ => {}
        }
    }
    stage.end();
}

/// One machine, the clock, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Stage<S: Subject> {
    machine: S::Machine,
    subject: S,
    now: Instant,
    /// The latest instant the machine was told.
    latest: Instant,
    /// What may still pass.
    budget: Duration,
    is_up: bool,
    was_up: bool,
    is_held: bool,
    is_first: bool,
    is_failed: bool,
    is_closed: bool,
    /// Events told so far.
    events: u64,
}

impl<S: Subject> Stage<S> {
    pub(crate) fn new(options: &Options<'_>) -> Self {
        let now = start();
        Self {
            machine: S::machine(options, now),
            subject: S::default(),
            now,
            latest: now,
            budget: MAX_TIME,
            is_up: false,
            was_up: false,
            is_held: false,
            is_first: true,
            is_failed: false,
            is_closed: false,
            events: 0,
        }
    }

    pub(crate) fn open(&mut self) {
        self.is_up = true;
        self.was_up = true;
        self.is_first = true;
        self.input(Input::Opened);
    }

    pub(crate) fn close(&mut self, frame: Option<CloseFrame>) {
        self.is_up = false;
        self.input(Input::Closed(frame));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.input(Input::Text(text));
    }

    pub(crate) fn binary(&mut self, bytes: Bytes) {
        self.input(Input::Binary(bytes));
    }

    pub(crate) fn command(&mut self, command: <S::Machine as Machine>::Command) {
        self.latest = self.latest.max(self.now);
        if self.is_failed {
            let taken = self.machine.handle_command(self.now, command).is_ok();
            assert!(!taken, "it takes a command after its last error: {}", self.shown());
            return self.drain();
        }
        self.subject.asks(&command);
        match self.machine.handle_command(self.now, command) {
            Ok(()) => self.subject.accepted(),
            Err(_) => self.subject.refused(),
        }
        self.drain();
    }

    /// Lets time pass; with `awake`, timers fire at their own moments, else late.
    pub(crate) fn pass(&mut self, span: Duration, awake: bool) {
        let span = span.min(self.budget);
        self.budget -= span;
        let end = self.now + span;
        if awake {
            self.run_until(end);
        }
        self.now = end;
    }

    fn turn_back(&mut self, span: Duration) {
        self.now = (self.now - span.min(MAX_TIME)).max(start());
    }

    fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
        self.drain();
    }

    /// Asks for the end, where there is a command for it, and waits in vain for the peer.
    pub(crate) fn end(mut self) {
        self.hold(false);
        self.now = self.now.max(self.latest);
        if !self.was_up {
            // A machine of one link may wait for it without limit; it has to hear that none came.
            self.close(None);
        }
        // Nothing a failed machine is told wakes it again.
        if self.is_failed {
            self.open();
            self.text("{}");
            self.close(None);
            return;
        }
        if let Some(close) = S::Machine::close_command() {
            self.command(close);
            let end = self.now + PATIENCE;
            self.run_until(end);
            assert!(
                self.is_failed || self.machine.is_finished(),
                "it was asked to end, and has not: {}",
                self.shown()
            );
        }
        if self.machine.is_finished() && !self.is_failed {
            assert!(self.is_closed, "it is finished and never said so: {}", self.shown());
            self.subject.finished();
        }
    }

    fn run_until(&mut self, end: Instant) {
        for _ in 0..MAX_WAKES {
            if self.is_failed || self.machine.poll_timeout().is_none_or(|at| at > end) {
                return;
            }
            let at = self.machine.poll_timeout().map_or(end, |at| at.max(self.now));
            self.now = at;
            self.latest = self.latest.max(at);
            let failed = self.machine.handle_timeout(at).is_err();
            self.drain_after(failed);
            let next = self.machine.poll_timeout();
            assert!(
                self.is_failed || next.is_none_or(|next| next > self.latest),
                "it was woken, and asks to be woken for the past: {}",
                self.shown()
            );
        }
        panic!("it asks to be woken without end: {}", self.shown());
    }

    fn input(&mut self, input: Input<'_>) {
        self.latest = self.latest.max(self.now);
        let failed = self.machine.handle_input(self.now, input).is_err();
        self.drain_after(failed);
    }

    /// An error is the last: nothing more is awaited, and only what was said before it is still to come.
    fn drain_after(&mut self, failed: bool) {
        assert!(!(self.is_failed && failed), "it failed twice: {}", self.shown());
        let (was_failed, events) = (self.is_failed, self.events);
        self.is_failed |= failed;
        self.drain();
        assert!(!was_failed || self.events == events, "an event after the last error: {}", self.shown());
        let idle = self.machine.poll_timeout().is_none();
        assert!(!self.is_failed || idle, "it failed, and still waits for something: {}", self.shown());
    }

    fn drain(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            let mut moved = false;
            if self.is_up
                && !self.is_held
                && let Some(message) = self.machine.poll_transmit()
            {
                moved = true;
                if let Message::Text(text) = &message {
                    let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
                    assert!(is_json, "it sent what is no JSON: {text}");
                }
                self.subject.sent(&message, std::mem::take(&mut self.is_first));
            }
            if let Some(event) = self.machine.poll_event() {
                moved = true;
                assert!(!self.is_closed, "an event after the last one: {event:?}");
                self.is_closed = S::is_closed(&event);
                self.events += 1;
                self.subject.told(&event);
            }
            if !moved {
                let hold = self.machine.poll_hold();
                assert!(hold.is_none() || self.machine.poll_hold().is_none(), "a wait told twice: {hold:?}");
                if !self.is_failed {
                    self.subject.settled(&self.machine, self.now);
                }
                return;
            }
        }
        panic!("it never stops talking: {}", self.shown());
    }

    /// Itself, without the audio it holds.
    fn shown(&self) -> String {
        format!("{self:?}").replace("\\0", "").replace("\\xff", "")
    }
}

/// `640` or `640 7f`: so many bytes, of that value.
pub(crate) fn sound(text: &str) -> Option<Bytes> {
    let (length, byte) = text.split_once(' ').unwrap_or((text, "00"));
    let length = length.parse::<usize>().ok().filter(|length| *length <= MAX_SOUND)?;
    Some(Bytes::from(vec![u8::from_str_radix(byte, 16).ok()?; length]))
}

/// What stands in quotes, or the bare text.
pub(crate) fn unquoted(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
}

pub(crate) fn duration(text: &str) -> Duration {
    let seconds = match text.strip_suffix("ms") {
        Some(millis) => millis.trim().parse().map(|millis: f64| millis / 1_000.0),
        None => text.trim_end_matches('s').trim().parse(),
    };
    seconds.ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
}

pub(crate) fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn close_frame(text: &str) -> Option<CloseFrame> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    Some(CloseFrame::new(code.parse().ok()?, reason))
}

/// One moment for the whole process: virtual time only ever adds to it.
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
pub(crate) fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}

const MAX_LINES: usize = 250;
/// What one log may take of the virtual clock.
const MAX_TIME: Duration = Duration::from_secs(300);
/// No wait of any machine is longer.
const PATIENCE: Duration = Duration::from_secs(600);
/// A caller wakes fifty times a second.
const MAX_WAKES: usize = 100_000;
/// What one step may bring forth.
const MAX_OUTPUTS: usize = 20_000;
/// Thirty seconds at 16 kHz.
pub(crate) const MAX_SOUND: usize = 960_000;
