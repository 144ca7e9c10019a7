//! The coming and going of links, as the machine and the application are told of it.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tracing::{debug, warn};
use voxline_protocol::{CloseFrame, Input, Machine, ProtocolError};
use voxline_transport::{Retry, Transport};

use super::{Driver, Timer};
use crate::source::{DialEvent, Source};
use crate::supervisor::LinkEnd;
use crate::{SessionError, SessionEvent};

impl<M: Machine, T: Transport> Driver<M, T> {
    /// A link that was there before the driver is opened before anything else.
    pub(super) fn open_first(&mut self, now: Instant) -> Result<bool, SessionError> {
        let Some(first) = self.source.take_first(now) else { return Ok(false) };
        self.shared.lock().metrics.dials += u32::from(first.took.is_some());
        self.open(now, first.link, first.took)?;
        self.notice = None;
        Ok(true)
    }

    pub(super) fn tend_links(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
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
            Source::Dialled(dialled) => {
                dialled.listen(now, &mut self.machine);
                match dialled.poll(cx, now) {
                    Some(event) => self.on_dial_event(now, event).map(|()| true),
                    None => Ok(false),
                }
            }
        }
    }

    pub(super) fn on_dial_event(&mut self, now: Instant, event: DialEvent<T>) -> Result<(), SessionError> {
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

    pub(super) fn adopt(&mut self, now: Instant, link: T) -> Result<(), SessionError> {
        if self.link.is_some() {
            self.detach(now, None)?;
        }
        self.open(now, link, None)
    }

    pub(super) fn open(&mut self, now: Instant, link: T, took: Option<Duration>) -> Result<(), SessionError> {
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
    pub(super) fn lose_link(
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
                self.timers.after(Timer::Adoption, now, *grace);
                self.notice = Some(SessionEvent::Unlinked { grace: *grace });
            }
            Source::Dialled(dialled) => dialled.on_lost(now, end),
        }
        Ok(())
    }

    /// Drops the link and tells the machine.
    pub(super) fn detach(&mut self, now: Instant, frame: Option<CloseFrame>) -> Result<(), ProtocolError> {
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
    pub(super) fn end_without_link(&mut self, now: Instant) -> Result<(), SessionError> {
        while let Some(event) = self.machine.poll_event() {
            self.stash.push_back(SessionEvent::Protocol(event));
        }
        if self.machine.is_finished() || self.close_asked {
            self.part(now, Ok(()));
            return Ok(());
        }
        Err(self.cause.take().unwrap_or(SessionError::LinkClosed { frame: None }))
    }
}

/// Whether a link's failure is one that no redial can mend.
fn is_final(cause: &SessionError) -> bool {
    matches!(cause, SessionError::Transport(error) if error.retry() == Retry::Never)
}
