//! The two ends of a session an application holds: commands in, events out.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Sink, Stream, StreamExt};
use tokio::task::JoinHandle;
use voxline_protocol::Machine;

use crate::shared::Shared;
use crate::{Metrics, SessionError, SessionEvent, TrySendError};

/// Commands in.
///
/// Dropping it asks for an orderly end: commands already queued are still carried out, then the
/// machine is given its [`close_command`](Machine::close_command). What is not over within the
/// close limit is cut.
#[derive(Debug)]
pub struct Sender<M: Machine> {
    shared: Arc<Shared<M>>,
}

impl<M: Machine> Sender<M> {
    pub(crate) const fn new(shared: Arc<Shared<M>>) -> Self {
        Self { shared }
    }

    /// Queues `command`, waiting for room.
    ///
    /// Cancel-safe: dropped while waiting, the command was not queued.
    ///
    /// # Errors
    /// [`SessionError::Ended`]; the [`Receiver`] tells how.
    pub async fn send(&mut self, command: M::Command) -> Result<(), SessionError> {
        poll_fn(|cx| self.shared.lock().poll_room(cx)).await?;
        // `&mut self`: nobody else can have taken the room since.
        self.shared.lock().push_reserved(command)
    }

    /// Queues `command` if there is room now.
    ///
    /// # Errors
    /// The queue is full or the session has ended; either gives the command back.
    pub fn try_send(&mut self, command: M::Command) -> Result<(), TrySendError<M::Command>> {
        self.shared.lock().try_push(command)
    }

    /// Barge-in: `command` overtakes the queue.
    ///
    /// Drops every command the driver has not taken yet, an earlier barge-in's included, and every
    /// perishable event from before it that the application has not read. What is sent afterwards
    /// is untouched. Never waits.
    ///
    /// # Errors
    /// [`SessionError::Ended`].
    pub fn interrupt(&mut self, command: M::Command) -> Result<(), SessionError> {
        self.shared.lock().interrupt(command)
    }

    /// Asks for an orderly end, as dropping does, and waits until driver and link are gone.
    ///
    /// Takes at most twice the close limit, provided that the driver is polled and the
    /// [`Receiver`] is read or dropped. Dropped while waiting, the end goes on by itself.
    pub async fn close(self) {
        self.shared.lock().leave_sender();
        poll_fn(|cx| self.shared.lock().poll_stopped(cx)).await;
    }

    /// Waits until driver and link are gone, asking for nothing. Cancel-safe.
    pub async fn closed(&mut self) {
        poll_fn(|cx| self.shared.lock().poll_stopped(cx)).await;
    }

    /// What the session has done so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared.lock().snapshot()
    }
}

/// `poll_flush` waits until the driver has taken every command; `poll_close` until driver and link
/// are gone.
impl<M: Machine> Sink<M::Command> for Sender<M> {
    type Error = SessionError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        self.shared.lock().poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, command: M::Command) -> Result<(), SessionError> {
        self.shared.lock().push_reserved(command)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        self.shared.lock().poll_taken(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        let mut shared = self.shared.lock();
        shared.leave_sender();
        shared.poll_stopped(cx).map(Ok)
    }
}

impl<M: Machine> Drop for Sender<M> {
    fn drop(&mut self) {
        self.shared.lock().leave_sender();
    }
}

/// Events out: a stream that ends with the session, after at most one `Err`.
///
/// An application that stops reading stops the reading of the link, and nothing else. Dropping the
/// receiver cancels the session: the driver closes the link without waiting for the peer, and
/// stops.
#[derive(Debug)]
pub struct Receiver<M: Machine> {
    shared: Arc<Shared<M>>,
    /// The driver's task, if it has one of its own.
    task: Option<JoinHandle<()>>,
}

impl<M: Machine> Receiver<M> {
    pub(crate) const fn new(shared: Arc<Shared<M>>, task: Option<JoinHandle<()>>) -> Self {
        Self { shared, task }
    }

    /// Reads to the session's end, events unseen, then waits until the driver's task is gone.
    ///
    /// Ends nothing by itself: drop or [`close`](Sender::close) the [`Sender`] for that. Dropped
    /// while waiting, it cancels the session.
    ///
    /// # Errors
    /// How the session ended, if badly and not yet told.
    pub async fn finish(mut self) -> Result<(), SessionError> {
        let mut outcome = Ok(());
        while let Some(event) = self.next().await {
            outcome = event.map(drop);
        }
        self.join().await;
        outcome
    }

    /// Cancels the session, as dropping does, and waits until the driver's task is gone.
    pub async fn cancel(mut self) {
        self.shared.lock().leave_receiver();
        self.join().await;
    }

    /// What the session has done so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared.lock().snapshot()
    }

    async fn join(&mut self) {
        if let Some(task) = self.task.take() {
            // A panic was told as `Aborted`; there is nothing else in a driver's result.
            let _ = task.await;
        }
    }
}

impl<M: Machine> Stream for Receiver<M> {
    type Item = Result<SessionEvent<M::Event>, SessionError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.shared.lock().poll_event(cx)
    }
}

impl<M: Machine> Drop for Receiver<M> {
    fn drop(&mut self) {
        self.shared.lock().leave_receiver();
    }
}
