//! The gateway's side of any link, whatever its service: greeting, complaints, limits, the end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::error::words;
use crate::slng::wire::{Reply, Request, encode, read_request, write_error};
use crate::slng::{Quirks, SlngQuirk};
use crate::{CloseFrame, DecodeError, Message, TimerKind, Timers};

/// What both services do alike on one link. `E` is the service's event.
#[derive(Debug)]
pub(super) struct Gate<E> {
    quirks: Quirks,
    session_id: String,
    now: Instant,
    pub(super) state: State,
    pub(super) timers: Timers<Timer>,
    pub(super) outbox: VecDeque<Message>,
    pub(super) events: VecDeque<E>,
    /// Whether a quirk that strikes once has struck.
    struck: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing but `init` is taken.
    New,
    /// `init` came, `ready` was not sent.
    Preparing,
    Open,
    /// STT: the client sent `close`.
    Draining,
    Over,
}

/// The waits of a gateway's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The `AgeLimit` quirk's limit: an error, then the end.
    Age,
    /// STT: the application did not finish after `close`: the link is closed.
    Drain,
    /// The `IdleLimit` quirk's limit: an error, then the end.
    Idle,
    /// TTS: the `LateAudio` quirk's old audio leaves.
    LateAudio,
    /// The `LateReady` quirk's answer to `init` leaves.
    Ready,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Age, Self::Drain, Self::Idle, Self::LateAudio, Self::Ready];

    fn index(self) -> usize {
        self as usize
    }
}

/// What the application is told on every link.
#[derive(Debug)]
pub(super) enum Common {
    Closed,
    Garbled(DecodeError),
    Unhandled(String),
}

impl<E: From<Common>> Gate<E> {
    pub(super) fn new(quirks: Quirks, session_id: String, now: Instant) -> Self {
        Self {
            quirks,
            session_id,
            now,
            state: State::New,
            timers: Timers::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            struck: false,
        }
    }

    pub(super) const fn has(&self, quirk: SlngQuirk) -> bool {
        self.quirks.contains(quirk)
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_over() && self.events.is_empty() && self.outbox.is_empty()
    }

    pub(super) fn advance_clock(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Arms `timer` to fire after `wait`.
    pub(super) fn wait(&mut self, timer: Timer, wait: Duration) {
        self.timers.after(timer, self.now, wait);
    }

    pub(super) fn on_opened(&mut self) {
        self.touch();
        if self.has(SlngQuirk::AgeLimit) {
            self.wait(Timer::Age, AGE_LIMIT);
        }
    }

    /// The client did something.
    pub(super) fn touch(&mut self) {
        if self.has(SlngQuirk::IdleLimit) {
            self.wait(Timer::Idle, IDLE_LIMIT);
        }
    }

    /// Reads what the client says; what does not parse is answered and told.
    pub(super) fn read(&mut self, text: &str) -> Option<Request> {
        match read_request(text) {
            Ok(request) => {
                self.touch();
                Some(request)
            }
            Err(error) => {
                self.complain("invalid_request", &error.what);
                self.events.push_back(Common::Garbled(error).into());
                None
            }
        }
    }

    pub(super) fn unhandled(&mut self, kind: impl Into<String>) {
        self.events.push_back(Common::Unhandled(words(&kind.into())).into());
    }

    /// Whether `init` is let in, given what was understood of its format.
    pub(super) fn admit<T>(&mut self, format: Option<T>) -> Option<T> {
        if format.is_none() {
            self.fail("config_error", "unsupported `encoding` or `sample_rate`");
        } else if self.has(SlngQuirk::AuthFrame) {
            self.fail("auth_error", "invalid API key");
        } else if self.has(SlngQuirk::RateLimit) {
            self.fail("rate_limit_exceeded", "too many concurrent connections");
        } else {
            return format;
        }
        None
    }

    /// Tells of the client that was let in, and answers it with `ready`.
    pub(super) fn welcome(&mut self, started: E) {
        self.state = State::Preparing;
        self.events.push_back(started);
        if self.has(SlngQuirk::LateReady) {
            self.wait(Timer::Ready, LATE_READY);
        } else {
            self.send_ready();
        }
    }

    fn send_ready(&mut self) {
        if self.state == State::Preparing && !self.has(SlngQuirk::NoReady) {
            self.state = State::Open;
            let session_id = &self.session_id;
            let ready = encode(&Reply::Ready { session_id, slng_request_id: session_id });
            self.outbox.push_back(Message::Text(ready));
        }
    }

    /// True once a link: for a quirk that strikes at the first request.
    pub(super) const fn strikes_now(&mut self) -> bool {
        !std::mem::replace(&mut self.struck, true)
    }

    /// An error the link survives.
    pub(super) fn complain(&mut self, code: &str, message: &str) {
        let error = self.error(code, message);
        self.outbox.push_back(Message::Text(error));
    }

    /// An error's text, in the shape the quirks ask for.
    pub(super) fn error(&self, code: &str, message: &str) -> String {
        write_error(self.quirks, code, message)
    }

    /// An error the link does not survive, unless a quirk says so.
    pub(super) fn fail(&mut self, code: &str, message: &str) {
        self.complain(code, message);
        if !self.has(SlngQuirk::ErrorStaysOpen) {
            self.close(CloseFrame::normal());
        }
    }

    pub(super) fn close(&mut self, frame: CloseFrame) {
        if !self.is_over() {
            self.outbox.push_back(Message::Close(frame));
            self.finish();
        }
    }

    /// The client is gone: what was on its way to it is void, our own close too.
    pub(super) fn on_closed(&mut self) {
        self.outbox.clear();
        if !self.is_over() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.state = State::Over;
        self.timers.stop_all();
        self.events.push_back(Common::Closed.into());
    }

    /// The next timer that is due and the service's own to answer; the others are answered here.
    pub(super) fn expired(&mut self) -> Option<Timer> {
        while let Some(timer) = self.timers.expired(self.now) {
            match timer {
                Timer::Age => self.fail("max_connection_duration_exceeded", "connection is too old"),
                Timer::Idle => self.fail("idle_timeout_exceeded", "connection was idle"),
                Timer::Ready => self.send_ready(),
                Timer::Drain | Timer::LateAudio => return Some(timer),
            }
        }
        None
    }
}

const LATE_READY: Duration = Duration::from_secs(2);
const IDLE_LIMIT: Duration = Duration::from_secs(10);
const AGE_LIMIT: Duration = Duration::from_secs(30);
