//! How a session ends: the outcome is told, the rest is sent, the link is closed within a limit.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::{SinkExt, StreamExt};
use tracing::debug;
use voxline_protocol::{CloseFrame, Machine, Message};
use voxline_transport::{Incoming, Transport};

use super::{Driver, Stage, Timer};
use crate::source::Source;
use crate::{SessionError, SessionEvent};

impl<M: Machine, T: Transport> Driver<M, T> {
    pub(super) fn look_for_end(&mut self, now: Instant) -> bool {
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
        self.timers.after(Timer::Close, now, self.limits.close);
        let accepted = M::close_command().map(|command| self.machine.handle_command(now, command));
        if accepted != Some(Ok(())) {
            self.stage = Stage::Draining;
        }
        true
    }

    /// Tells the outcome, and begins to close the link if there is one.
    pub(super) fn part(&mut self, now: Instant, outcome: Result<(), SessionError>) {
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
        self.timers.after(Timer::LinkClose, now, self.limits.close);
        self.stage = if self.link.is_some() { Stage::Parting { polite, code } } else { Stage::Done };
    }

    /// Sends the rest and a close frame, then waits for the peer's.
    pub(super) fn part_further(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        polite: bool,
        code: u16,
    ) -> bool {
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
    pub(super) fn cancel(&mut self, cx: &mut Context<'_>) {
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

    pub(super) fn leave(&mut self) -> bool {
        self.link = None;
        self.stage = Stage::Done;
        true
    }
}

const GOING_AWAY: u16 = 1001; // RFC 6455 §7.4.1, as the next
const PROTOCOL_ERROR: u16 = 1002;
