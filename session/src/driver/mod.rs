//! The event loop of a session, as one hand-written future. It moves bytes and calls the machine.

mod life;
mod link;
mod parting;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tracing::{Span, debug, debug_span};
use voxline_protocol::{Epoch, Machine, TimerKind, Timers};
use voxline_transport::{Transport, TransportError};

use crate::shared::Shared;
use crate::source::Source;
use crate::supervisor::LinkEnd;
use crate::{SessionConfig, SessionError, SessionEvent, Wait};

/// The event loop of one session, as a future. Contains no protocol logic.
///
/// It takes the same steps in the same order every round: the barge-in, commands, messages out,
/// events, one message in, timers, and the coming and going of links. An application that does not
/// read stops the reading of the link, never its timers or its sending; a link that takes nothing
/// stops the sending, never the events. After some rounds it lets other tasks run.
///
/// Ready once the session is over and its link is gone; the [`Receiver`](crate::Receiver) tells how
/// it ended. Dropping it cuts the link and ends the session with
/// [`SessionError::Aborted`](crate::SessionError::Aborted). It must be polled inside a Tokio runtime
/// with timers, and works under a paused clock.
#[must_use = "a session makes no progress unless its driver is polled"]
pub struct Driver<M: Machine, T: Transport> {
    machine: M,
    shared: Arc<Shared<M>>,
    source: Source<T>,
    link: Option<T>,
    stage: Stage,
    limits: Limits,
    /// The barge-in the machine knows of; what it made before a later one is worthless.
    epoch: Epoch,
    /// What goes before the machine's next event: refusals, and what a barge-in left.
    stash: VecDeque<SessionEvent<M::Event>>,
    /// The latest news of the link. Newer replaces older while the application does not read.
    notice: Option<SessionEvent<M::Event>>,
    /// Whether every event there is was delivered.
    delivered: bool,
    /// Whether the link took every message there is.
    sent: bool,
    close_sent: bool,
    close_asked: bool,
    /// Why the link takes no more. What it still delivers is read first.
    write_error: Option<TransportError>,
    /// What the last link or dial died of.
    cause: Option<SessionError>,
    /// Since when there has been no link.
    down_since: Option<Instant>,
    timers: Timers<Timer>,
    sleep: Option<Pin<Box<Sleep>>>,
    span: Span,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    close: Duration,
    send: Duration,
    stash: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The end was asked for, and the machine has nothing of its own to say: it ends when all is sent.
    Draining,
    /// The outcome is told; the link is being closed, with what the machine still has to send or without.
    Parting {
        polite: bool,
        code: u16,
    },
    Done,
}

#[derive(Debug, Clone, Copy)]
enum Timer {
    /// The session did not end in order: it is cut.
    Close,
    /// The peer did not answer a close frame: the link counts as ended.
    LinkClose,
    /// The link takes no message: it counts as lost.
    Send,
    /// Nobody brought another link: the session ends.
    Adoption,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] = &[Self::Close, Self::LinkClose, Self::Send, Self::Adoption];

    fn index(self) -> usize {
        self as usize
    }
}

impl<M: Machine, T: Transport> Driver<M, T> {
    pub(crate) fn new(machine: M, shared: Arc<Shared<M>>, source: Source<T>, config: &SessionConfig) -> Self {
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        Self {
            machine,
            shared,
            source,
            link: None,
            stage: Stage::Running,
            limits: Limits {
                close: config.close_limit,
                send: config.send_limit,
                stash: config.event_capacity.max(1),
            },
            epoch: Epoch::FIRST,
            stash: VecDeque::new(),
            notice: None,
            delivered: true,
            sent: true,
            close_sent: false,
            close_asked: false,
            write_error: None,
            cause: None,
            down_since: None,
            timers: Timers::new(),
            sleep: None,
            span: debug_span!("session", id = SESSIONS.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        let now = now();
        if self.shared.lock().is_cancelled() {
            self.cancel(cx);
            return Ok(true);
        }
        if let Stage::Parting { polite, code } = self.stage {
            return Ok(self.part_further(cx, now, polite, code));
        }
        let opened = self.open_first(now)?;
        if self.link.is_none() {
            self.down_since.get_or_insert(now);
        }
        let moved = self.take_interrupt(now)
            | self.take_commands(now)
            | self.send_transmits(cx, now)
            | self.deliver_events()
            | self.read_link(cx, now)?
            | self.tend_links(cx, now)?
            | self.fire_timers(cx, now)?;
        Ok(self.look_for_end(now) | opened | moved)
    }

    fn take_interrupt(&mut self, now: Instant) -> bool {
        if self.stash.len() >= self.limits.stash {
            return false; // an application that reads nothing at all
        }
        let Some((epoch, command)) = self.shared.lock().take_interrupt() else { return false };
        // Whatever the machine made so far is from before the barge-in.
        let before = self.stash.len();
        self.stash.retain(|event| !event.is_perishable::<M>());
        let mut dropped = before - self.stash.len();
        while let Some(event) = self.machine.poll_event() {
            if M::is_perishable(&event) {
                dropped += 1;
            } else {
                self.stash.push_back(SessionEvent::Protocol(event));
            }
        }
        self.shared.lock().metrics.events_dropped += dropped as u64;
        self.epoch = epoch;
        debug!(%epoch, dropped, "barge-in");
        self.command(now, command);
        true
    }

    fn take_commands(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for _ in 0..MESSAGES_PER_ROUND {
            if self.stash.len() >= self.limits.stash {
                break;
            }
            let Some(command) = self.shared.lock().take_command() else { break };
            self.command(now, command);
            moved = true;
        }
        moved
    }

    fn command(&mut self, now: Instant, command: M::Command) {
        if let Err(refusal) = self.machine.handle_command(now, command) {
            debug!(%refusal, "command refused");
            self.stash.push_back(SessionEvent::Refused(refusal));
        }
    }

    fn deliver_events(&mut self) -> bool {
        let mut shared = self.shared.lock();
        let mut moved = false;
        self.delivered = false;
        while shared.has_event_room() {
            let next = self.stash.pop_front();
            let next = next.or_else(|| self.machine.poll_event().map(SessionEvent::Protocol));
            let Some(event) = next.or_else(|| self.notice.take()) else {
                self.delivered = true;
                break;
            };
            shared.deliver(self.epoch, event);
            moved = true;
        }
        moved
    }

    fn fire_timers(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
        let mut fired = false;
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now)?;
            // A machine that is due again at once has its next turn after the tick.
            fired = self.machine.poll_timeout().is_none_or(|at| at > now);
        }
        while let Some(timer) = self.timers.expired(now) {
            self.on_timer(now, timer)?;
            fired = true;
        }
        let for_link = match &self.source {
            Source::Dialled(dialled) => dialled.wake_at(),
            Source::Adopted { .. } | Source::Given { .. } => None,
        };
        let for_machine = self.machine.poll_timeout().map(|at| at.max(now + TICK));
        let next = [for_machine, self.timers.next(), for_link].into_iter().flatten().min();
        Ok(self.sleep_until(cx, next) | fired)
    }

    fn on_timer(&mut self, now: Instant, timer: Timer) -> Result<(), SessionError> {
        match timer {
            Timer::Close => {
                self.link = None;
                Err(SessionError::Timeout { wait: Wait::Close, limit: self.limits.close })
            }
            Timer::LinkClose => {
                let cause = SessionError::Timeout { wait: Wait::Close, limit: self.limits.close };
                self.lose_link(now, LinkEnd::Ours, cause, None)
            }
            Timer::Send => {
                let cause = SessionError::Timeout { wait: Wait::Send, limit: self.limits.send };
                self.lose_link(now, LinkEnd::Lost, cause, None)
            }
            Timer::Adoption => {
                let Source::Adopted { grace, .. } = self.source else { return Ok(()) };
                self.cause = Some(SessionError::Timeout { wait: Wait::Adoption, limit: grace });
                self.end_without_link(now)
            }
        }
    }

    /// Sleeps towards `at`; `true` if it has come.
    fn sleep_until(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> bool {
        let Some(at) = at else {
            self.sleep = None;
            return false;
        };
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl<M: Machine, T: Transport> Future for Driver<M, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let span = this.span.clone();
        let _entered = span.enter();
        this.shared.lock().park_driver(cx);
        for _ in 0..ROUNDS_PER_POLL {
            let moved = this.round(cx).unwrap_or_else(|error| {
                this.part(now(), Err(error));
                true
            });
            if this.stage == Stage::Done {
                this.shared.lock().stop();
                return Poll::Ready(());
            }
            if !moved {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref(); // more to do, after the other tasks had their turn
        Poll::Pending
    }
}

/// Nothing is pinned in it: whatever is polled is boxed, or a link, which is `Unpin`.
impl<M: Machine, T: Transport> Unpin for Driver<M, T> {}

impl<M: Machine, T: Transport> Drop for Driver<M, T> {
    fn drop(&mut self) {
        self.link = None;
        self.shared.lock().stop();
    }
}

impl<M: Machine, T: Transport> fmt::Debug for Driver<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("machine", &self.machine)
            .field("stage", &self.stage)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// The clock of every session: Tokio's, so that a paused one holds all of it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

const ROUNDS_PER_POLL: usize = 32;
const MESSAGES_PER_ROUND: usize = 16;
const TICK: Duration = Duration::from_millis(1);
