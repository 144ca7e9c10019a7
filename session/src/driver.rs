//! The event loop of a session, as one hand-written future. It moves bytes and calls the machine.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::time::Sleep;
use tracing::{Span, debug, debug_span, trace, warn};
use voxline_protocol::{CloseFrame, Epoch, Input, Machine, Message, ProtocolError, TimerKind, Timers};
use voxline_transport::{Incoming, Retry, Transport, TransportError};

use crate::shared::Shared;
use crate::source::{DialEvent, Source};
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
        } else if let (None, Source::Dialled(dialled)) = (&self.link, &mut self.source) {
            dialled.hurry(now);
        }
    }

    fn send_transmits(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        self.sent = false;
        for _ in 0..MESSAGES_PER_ROUND {
            if self.close_sent {
                self.sent = self.flush(cx, now);
                return moved;
            }
            if !self.can_send(cx, now) {
                return moved;
            }
            let Some(message) = self.machine.poll_transmit() else {
                self.sent = self.flush(cx, now);
                return moved;
            };
            self.send(now, message);
            moved = true;
        }
        moved
    }

    /// Whether the link takes a message now. The machine keeps it until then, for a clear to drop.
    fn can_send(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(link) = &mut self.link else { return false };
        if self.write_error.is_some() {
            return false;
        }
        match link.poll_ready_unpin(cx) {
            Poll::Ready(Ok(())) => self.timers.stop(Timer::Send),
            Poll::Ready(Err(error)) => self.write_error = Some(error),
            Poll::Pending => self.on_stall(now),
        }
        self.timers.get(Timer::Send).is_none() && self.write_error.is_none()
    }

    fn send(&mut self, now: Instant, message: Message) {
        let Some(link) = &mut self.link else { return };
        let size = match &message {
            Message::Text(text) => Some(text.len()),
            Message::Binary(bytes) => Some(bytes.len()),
            Message::Close(_) => None,
        };
        trace!(?size, "send");
        if let Err(error) = link.start_send_unpin(message) {
            self.write_error = Some(error);
        } else if let Some(size) = size {
            let metrics = &mut self.shared.lock().metrics;
            metrics.messages_sent += 1;
            metrics.bytes_sent += size as u64;
        } else {
            self.close_sent = true;
            if self.timers.get(Timer::LinkClose).is_none() {
                self.timers.set(Timer::LinkClose, now + self.limits.close);
            }
        }
    }

    /// Whether everything sent has left.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(link) = &mut self.link else { return true };
        match link.poll_flush_unpin(cx) {
            Poll::Ready(Ok(())) => {
                self.timers.stop(Timer::Send);
                true
            }
            Poll::Ready(Err(error)) => {
                self.write_error = Some(error);
                false
            }
            Poll::Pending => {
                self.on_stall(now);
                false
            }
        }
    }

    fn on_stall(&mut self, now: Instant) {
        if self.timers.get(Timer::Send).is_none() {
            self.timers.set(Timer::Send, now + self.limits.send);
        }
    }

    fn deliver_events(&mut self) -> bool {
        let mut shared = self.shared.lock();
        let (mut moved, mut worked) = (false, false);
        self.delivered = false;
        while shared.has_event_room() {
            let next = self.stash.pop_front();
            let next = next.or_else(|| self.machine.poll_event().map(SessionEvent::Protocol));
            let Some(event) = next.or_else(|| self.notice.take()) else {
                self.delivered = true;
                break;
            };
            worked |= event.is_perishable::<M>();
            shared.deliver(self.epoch, event);
            moved = true;
        }
        if let (true, Source::Dialled(dialled)) = (worked, &mut self.source) {
            dialled.on_work(); // what a barge-in makes worthless is what the link was opened for
        }
        moved
    }

    fn read_link(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
        if !self.delivered {
            return Ok(false);
        }
        let Some(link) = &mut self.link else { return Ok(false) };
        let arrived = match link.poll_next_unpin(cx) {
            Poll::Ready(arrived) => arrived,
            Poll::Pending => {
                let Some(error) = self.write_error.take() else { return Ok(false) };
                self.lose_link(now, LinkEnd::Lost, error.into(), None)?;
                return Ok(true);
            }
        };
        let end = if self.close_sent { LinkEnd::Ours } else { LinkEnd::Lost };
        match arrived {
            Some(Ok(Incoming::Text(text))) => {
                self.count_received(now, text.as_str().len());
                self.machine.handle_input(now, Input::Text(text.as_str()))?;
            }
            Some(Ok(Incoming::Binary(bytes))) => {
                self.count_received(now, bytes.len());
                self.machine.handle_input(now, Input::Binary(bytes))?;
            }
            Some(Ok(Incoming::Closed(frame))) => {
                let end = if self.close_sent { end } else { LinkEnd::by_peer(frame.as_ref()) };
                self.lose_link(now, end, SessionError::LinkClosed { frame: frame.clone() }, frame)?;
            }
            Some(Err(error)) => self.lose_link(now, end, error.into(), None)?,
            None => self.lose_link(now, end, SessionError::LinkClosed { frame: None }, None)?,
        }
        Ok(true)
    }

    fn count_received(&self, now: Instant, size: usize) {
        trace!(size, "receive");
        let metrics = &mut self.shared.lock().metrics;
        metrics.messages_received += 1;
        metrics.bytes_received += size as u64;
        metrics.last_received = Some(now);
    }

    /// A link that was there before the driver is opened before anything else.
    fn open_first(&mut self, now: Instant) -> Result<bool, SessionError> {
        let Some(first) = self.source.take_first(now) else { return Ok(false) };
        self.shared.lock().metrics.dials += u32::from(first.took.is_some());
        self.open(now, first.link, first.took)?;
        self.notice = None;
        Ok(true)
    }

    fn tend_links(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
        match &mut self.source {
            Source::Given { .. } => Ok(false),
            Source::Adopted { links, .. } => match links.poll_recv(cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(Some(link)) => {
                    self.adopt(now, link)?;
                    Ok(true)
                }
                Poll::Ready(None) => {
                    self.source = Source::Given { first: None };
                    if self.link.is_none() {
                        self.end_without_link(now)?;
                    }
                    Ok(true)
                }
            },
            Source::Dialled(dialled) => match dialled.poll(cx, now) {
                Some(event) => self.on_dial_event(now, event).map(|()| true),
                None => Ok(false),
            },
        }
    }
    fn on_dial_event(&mut self, now: Instant, event: DialEvent<T>) -> Result<(), SessionError> {
        match event {
            DialEvent::Began { attempt, told } => {
                self.shared.lock().metrics.dials += 1;
                if !told {
                    self.notice = Some(SessionEvent::Reconnecting { attempt, delay: Duration::ZERO });
                }
            }
            DialEvent::Failed(error) => {
                debug!(%error, "dial failed");
                self.cause = Some(error.into());
            }
            DialEvent::GaveUp { attempts, elapsed } => {
                warn!(attempts, ?elapsed, "gave up");
                let last = self.cause.take().unwrap_or(SessionError::LinkClosed { frame: None });
                return Err(if attempts == 0 || is_final(&last) {
                    last
                } else {
                    SessionError::RetriesExhausted { attempts, elapsed, last: Box::new(last) }
                });
            }
            DialEvent::Opened { link, took } => self.open(now, link, Some(took))?,
            DialEvent::Planned { attempt, delay } => {
                debug!(attempt, ?delay, "dial planned");
                self.notice = Some(SessionEvent::Reconnecting { attempt, delay });
            }
        }
        Ok(())
    }

    fn adopt(&mut self, now: Instant, link: T) -> Result<(), SessionError> {
        if self.link.is_some() {
            self.detach(now, None)?;
        }
        self.open(now, link, None)
    }

    fn open(&mut self, now: Instant, link: T, took: Option<Duration>) -> Result<(), SessionError> {
        let first = {
            let metrics = &mut self.shared.lock().metrics;
            metrics.links += 1;
            metrics.link_up = true;
            metrics.last_connect = took;
            metrics.links == 1
        };
        let after = self.down_since.take().map_or(Duration::ZERO, |since| now - since);
        debug!(?after, "link is up");
        self.notice =
            Some(if first { SessionEvent::Connected { after } } else { SessionEvent::Reconnected { after } });
        self.timers.stop(Timer::Adoption);
        self.cause = None;
        self.link = Some(link);
        self.machine.handle_input(now, Input::Opened)?;
        Ok(())
    }

    /// Takes leave of a link that ended, and of the session if nothing can bring another.
    fn lose_link(
        &mut self,
        now: Instant,
        end: LinkEnd,
        cause: SessionError,
        frame: Option<CloseFrame>,
    ) -> Result<(), SessionError> {
        debug!(?end, %cause, "link is gone");
        self.detach(now, frame)?;
        self.cause = Some(cause);
        match &mut self.source {
            Source::Given { .. } => return self.end_without_link(now),
            Source::Adopted { grace, .. } => {
                self.timers.set(Timer::Adoption, now + *grace);
                self.notice = Some(SessionEvent::Unlinked { grace: *grace });
            }
            Source::Dialled(dialled) => dialled.on_lost(now, end),
        }
        Ok(())
    }

    /// Drops the link and tells the machine.
    fn detach(&mut self, now: Instant, frame: Option<CloseFrame>) -> Result<(), ProtocolError> {
        self.link = None;
        self.close_sent = false;
        self.write_error = None;
        self.down_since = Some(now);
        self.timers.stop(Timer::LinkClose);
        self.timers.stop(Timer::Send);
        self.shared.lock().metrics.link_up = false;
        self.machine.handle_input(now, Input::Closed(frame))
    }

    /// Ends the session for want of a link: well if the machine or the application was done with it.
    fn end_without_link(&mut self, now: Instant) -> Result<(), SessionError> {
        while let Some(event) = self.machine.poll_event() {
            self.stash.push_back(SessionEvent::Protocol(event));
        }
        if self.machine.is_finished() || self.close_asked {
            self.part(now, Ok(()));
            return Ok(());
        }
        Err(self.cause.take().unwrap_or(SessionError::LinkClosed { frame: None }))
    }

    fn fire_timers(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
        let mut fired = false;
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now)?;
            fired = true;
        }
        while let Some(timer) = self.timers.expired(now) {
            self.on_timer(now, timer)?;
            fired = true;
        }
        let for_link = match &self.source {
            Source::Dialled(dialled) => dialled.wake_at(),
            Source::Adopted { .. } | Source::Given { .. } => None,
        };
        // A machine that is due again at once must not keep this task busy.
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

    fn look_for_end(&mut self, now: Instant) -> bool {
        if !matches!(self.stage, Stage::Running | Stage::Draining) {
            return true;
        }
        if self.machine.is_finished() {
            self.part(now, Ok(()));
            return true;
        }
        if self.stage == Stage::Draining && (self.link.is_none() || self.sent) {
            self.part(now, Ok(()));
            return true;
        }
        if self.close_asked || !self.shared.lock().is_sender_done() {
            return false;
        }
        self.close_asked = true;
        self.timers.set(Timer::Close, now + self.limits.close);
        let accepted = M::close_command().map(|command| self.machine.handle_command(now, command));
        if accepted != Some(Ok(())) {
            self.stage = Stage::Draining;
        }
        true
    }

    /// Tells the outcome, and begins to close the link if there is one.
    fn part(&mut self, now: Instant, outcome: Result<(), SessionError>) {
        let code = match &outcome {
            Ok(()) => CloseFrame::NORMAL,
            Err(SessionError::Protocol(_)) => PROTOCOL_ERROR,
            Err(_) => GOING_AWAY,
        };
        let polite = outcome.is_ok();
        debug!(?outcome, "session is over");
        let mut shared = self.shared.lock();
        // Past the capacity: these were held by the machine, within its own limits.
        while let Some(event) = self.stash.pop_front() {
            shared.deliver(self.epoch, event);
        }
        while let Some(event) = self.machine.poll_event() {
            shared.deliver(self.epoch, SessionEvent::Protocol(event));
        }
        shared.end(outcome);
        drop(shared);
        self.source = Source::Given { first: None };
        self.timers.stop_all();
        self.timers.set(Timer::LinkClose, now + self.limits.close);
        self.stage = if self.link.is_some() { Stage::Parting { polite, code } } else { Stage::Done };
    }

    /// Sends the rest and a close frame, then waits for the peer's.
    fn part_further(&mut self, cx: &mut Context<'_>, now: Instant, polite: bool, code: u16) -> bool {
        if self.timers.expired(now).is_some() || self.write_error.is_some() {
            return self.leave();
        }
        if !self.close_sent && self.can_send(cx, now) {
            let rest = if polite { self.machine.poll_transmit() } else { None };
            self.send(now, rest.unwrap_or_else(|| Message::Close(CloseFrame::new(code, ""))));
            return true;
        }
        self.flush(cx, now);
        let Some(link) = &mut self.link else { return self.leave() };
        match link.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(Incoming::Text(_) | Incoming::Binary(_)))) => true,
            Poll::Ready(Some(Ok(Incoming::Closed(_)) | Err(_)) | None) => self.leave(),
            Poll::Pending => self.sleep_until(cx, self.timers.next()),
        }
    }

    /// Nobody reads: says goodbye if the link takes it at once, and stops.
    fn cancel(&mut self, cx: &mut Context<'_>) {
        if let Some(link) = &mut self.link
            && !self.close_sent
            && let Poll::Ready(Ok(())) = link.poll_ready_unpin(cx)
            && link.start_send_unpin(Message::Close(CloseFrame::new(GOING_AWAY, ""))).is_ok()
        {
            let _ = link.poll_flush_unpin(cx);
        }
        debug!("session cancelled");
        self.leave();
    }

    fn leave(&mut self) -> bool {
        self.link = None;
        self.stage = Stage::Done;
        true
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

/// Whether a link's failure is one that no redial can mend.
fn is_final(cause: &SessionError) -> bool {
    matches!(cause, SessionError::Transport(error) if error.retry() == Retry::Never)
}

const ROUNDS_PER_POLL: usize = 32;
const MESSAGES_PER_ROUND: usize = 16;
const TICK: Duration = Duration::from_millis(1);
const GOING_AWAY: u16 = 1001; // RFC 6455 §7.4.1, as the next
const PROTOCOL_ERROR: u16 = 1002;
