//! What travels over the link there is: messages out as fast as it takes them, messages in one at a time.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::{SinkExt, StreamExt};
use tracing::trace;
use voxline_protocol::{Input, Machine, Message};
use voxline_transport::{Incoming, Transport};

use super::{Driver, MESSAGES_PER_ROUND, Timer};
use crate::SessionError;
use crate::supervisor::LinkEnd;

impl<M: Machine, T: Transport> Driver<M, T> {
    pub(super) fn send_transmits(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
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
    pub(super) fn can_send(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
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

    pub(super) fn send(&mut self, now: Instant, message: Message) {
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
                self.timers.after(Timer::LinkClose, now, self.limits.close);
            }
        }
    }

    /// Whether everything sent has left.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
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

    pub(super) fn on_stall(&mut self, now: Instant) {
        if self.timers.get(Timer::Send).is_none() {
            self.timers.after(Timer::Send, now, self.limits.send);
        }
    }

    pub(super) fn read_link(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
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

    pub(super) fn count_received(&self, now: Instant, size: usize) {
        trace!(size, "receive");
        let metrics = &mut self.shared.lock().metrics;
        metrics.messages_received += 1;
        metrics.bytes_received += size as u64;
        metrics.last_received = Some(now);
    }
}
