//! What the two handles and the driver of one session share: both queues, and the epoch over them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use voxline_protocol::{Epoch, Machine};

use crate::{Metrics, SessionError, SessionEvent, TrySendError};

/// One lock over both queues, so that a barge-in overtakes the commands and recalls the events in
/// one step, whichever task runs first. It is held for a push, a pop or a sweep, never across an
/// await.
pub(crate) struct Shared<M: Machine>(Mutex<State<M>>);

pub(crate) struct State<M: Machine> {
    commands: VecDeque<M::Command>,
    command_capacity: usize,
    /// The command of the latest barge-in the driver has not taken yet.
    interrupt: Option<M::Command>,
    /// Raised by every barge-in.
    epoch: Epoch,
    events: VecDeque<SessionEvent<M::Event>>,
    event_capacity: usize,
    /// How the session ended, until the receiver takes it.
    outcome: Option<Result<(), SessionError>>,
    sender_gone: bool,
    receiver_gone: bool,
    /// The driver is gone, and its link with it.
    stopped: bool,
    driver: Option<Waker>,
    sender: Option<Waker>,
    receiver: Option<Waker>,
    pub(crate) metrics: Metrics,
}

impl<M: Machine> Shared<M> {
    pub(crate) fn new(command_capacity: usize, event_capacity: usize) -> Self {
        Self(Mutex::new(State {
            commands: VecDeque::new(),
            command_capacity: command_capacity.max(1),
            interrupt: None,
            epoch: Epoch::FIRST,
            events: VecDeque::new(),
            event_capacity: event_capacity.max(1),
            outcome: None,
            sender_gone: false,
            receiver_gone: false,
            stopped: false,
            driver: None,
            sender: None,
            receiver: None,
            metrics: Metrics::default(),
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Queues and counters are whole between any two statements that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The application's side.
impl<M: Machine> State<M> {
    pub(crate) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), SessionError>> {
        if self.metrics.ended {
            return Poll::Ready(Err(SessionError::Ended));
        }
        if self.commands.len() < self.command_capacity {
            return Poll::Ready(Ok(()));
        }
        park(&mut self.sender, cx);
        Poll::Pending
    }

    /// Queues a command whose room `poll_room` has seen.
    pub(crate) fn push_reserved(&mut self, command: M::Command) -> Result<(), SessionError> {
        if self.metrics.ended {
            return Err(SessionError::Ended);
        }
        self.commands.push_back(command);
        wake(&mut self.driver);
        Ok(())
    }

    pub(crate) fn try_push(&mut self, command: M::Command) -> Result<(), TrySendError<M::Command>> {
        if self.metrics.ended {
            return Err(TrySendError::Ended(command));
        }
        if self.commands.len() >= self.command_capacity {
            return Err(TrySendError::Full(command));
        }
        self.commands.push_back(command);
        wake(&mut self.driver);
        Ok(())
    }

    pub(crate) fn poll_taken(&mut self, cx: &Context<'_>) -> Poll<Result<(), SessionError>> {
        if self.commands.is_empty() && self.interrupt.is_none() {
            return Poll::Ready(Ok(()));
        }
        if self.metrics.ended {
            return Poll::Ready(Err(SessionError::Ended));
        }
        park(&mut self.sender, cx);
        Poll::Pending
    }

    /// Raises the epoch: drops the commands not yet taken and the perishable events not yet read.
    pub(crate) fn interrupt(&mut self, command: M::Command) -> Result<(), SessionError> {
        if self.metrics.ended {
            return Err(SessionError::Ended);
        }
        self.epoch = self.epoch.next();
        let overtaken = self.commands.len() + usize::from(self.interrupt.is_some());
        self.commands.clear();
        self.interrupt = Some(command);
        let before = self.events.len();
        self.events.retain(|event| !event.is_perishable::<M>());
        self.metrics.interrupts += 1;
        self.metrics.commands_dropped += overtaken as u64;
        self.metrics.events_dropped += (before - self.events.len()) as u64;
        wake(&mut self.driver);
        Ok(())
    }

    /// No command will follow.
    pub(crate) fn leave_sender(&mut self) {
        self.sender_gone = true;
        wake(&mut self.driver);
    }

    pub(crate) fn poll_stopped(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.stopped {
            return Poll::Ready(());
        }
        park(&mut self.sender, cx);
        Poll::Pending
    }

    pub(crate) fn poll_event(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<SessionEvent<M::Event>, SessionError>>> {
        let was_full = !self.has_event_room();
        if let Some(event) = self.events.pop_front() {
            if was_full {
                wake(&mut self.driver);
            }
            return Poll::Ready(Some(Ok(event)));
        }
        if self.metrics.ended {
            return Poll::Ready(self.outcome.take().and_then(Result::err).map(Err));
        }
        park(&mut self.receiver, cx);
        Poll::Pending
    }

    /// Nobody reads any more: the session is cancelled.
    pub(crate) fn leave_receiver(&mut self) {
        self.receiver_gone = true;
        self.events.clear();
        wake(&mut self.driver);
    }

    pub(crate) fn snapshot(&self) -> Metrics {
        Metrics { commands_queued: self.commands.len(), events_queued: self.events.len(), ..self.metrics }
    }
}

/// The driver's side.
impl<M: Machine> State<M> {
    pub(crate) fn park_driver(&mut self, cx: &Context<'_>) {
        park(&mut self.driver, cx);
    }

    pub(crate) const fn is_cancelled(&self) -> bool {
        self.receiver_gone
    }

    /// Whether every command there will ever be was taken.
    pub(crate) fn is_sender_done(&self) -> bool {
        self.sender_gone && self.commands.is_empty() && self.interrupt.is_none()
    }

    pub(crate) fn take_interrupt(&mut self) -> Option<(Epoch, M::Command)> {
        let command = self.interrupt.take()?;
        wake(&mut self.sender);
        Some((self.epoch, command))
    }

    /// The next command, unless a barge-in has made it worthless or comes first.
    pub(crate) fn take_command(&mut self) -> Option<M::Command> {
        if self.interrupt.is_some() {
            return None;
        }
        let command = self.commands.pop_front()?;
        wake(&mut self.sender);
        Some(command)
    }

    pub(crate) fn has_event_room(&self) -> bool {
        self.events.len() < self.event_capacity
    }

    /// Queues `event`, made under `epoch`, unless a later barge-in made it worthless.
    pub(crate) fn deliver(&mut self, epoch: Epoch, event: SessionEvent<M::Event>) {
        if epoch < self.epoch && event.is_perishable::<M>() {
            self.metrics.events_dropped += 1;
        } else {
            self.events.push_back(event);
            wake(&mut self.receiver);
        }
    }

    /// The session is over for the application; the first outcome counts.
    pub(crate) fn end(&mut self, outcome: Result<(), SessionError>) {
        if !self.metrics.ended {
            self.metrics.ended = true;
            self.outcome = Some(outcome);
            wake(&mut self.sender);
            wake(&mut self.receiver);
        }
    }

    /// The driver is gone.
    pub(crate) fn stop(&mut self) {
        self.end(Err(SessionError::Aborted));
        self.stopped = true;
        self.metrics.link_up = false;
        wake(&mut self.sender);
    }
}

impl<M: Machine> fmt::Debug for Shared<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().snapshot().fmt(f)
    }
}

fn park(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(place: &mut Option<Waker>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Instant;

    use voxline_protocol::{CommandError, Input, Message, ProtocolError};

    use super::*;

    /// Its events are numbers, and the odd ones perishable.
    #[derive(Debug)]
    struct Numbers;

    impl Machine for Numbers {
        type Command = ();
        type Event = u32;

        fn handle_input(&mut self, _: Instant, _: Input<'_>) -> Result<(), ProtocolError> {
            Ok(())
        }

        fn handle_command(&mut self, _: Instant, (): ()) -> Result<(), CommandError> {
            Ok(())
        }

        fn handle_timeout(&mut self, _: Instant) -> Result<(), ProtocolError> {
            Ok(())
        }

        fn poll_transmit(&mut self) -> Option<Message> {
            None
        }

        fn poll_event(&mut self) -> Option<u32> {
            None
        }

        fn poll_timeout(&self) -> Option<Instant> {
            None
        }

        fn is_finished(&self) -> bool {
            false
        }

        fn is_perishable(event: &u32) -> bool {
            event % 2 == 1
        }
    }

    fn read(shared: &Shared<Numbers>) -> Vec<u32> {
        let mut read = Vec::new();
        let cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(SessionEvent::Protocol(number)))) = shared.lock().poll_event(&cx) {
            read.push(number);
        }
        read
    }

    /// On two threads the driver may deliver between a barge-in and the moment it takes it.
    #[test]
    fn what_the_driver_delivers_before_it_knows_of_a_barge_in_is_stale() {
        let shared = Shared::<Numbers>::new(4, 4);
        let old = Epoch::FIRST;
        shared.lock().deliver(old, SessionEvent::Protocol(1));
        shared.lock().interrupt(()).unwrap();
        shared.lock().deliver(old, SessionEvent::Protocol(2));
        shared.lock().deliver(old, SessionEvent::Protocol(3));
        let Some((new, ())) = shared.lock().take_interrupt() else { panic!("no barge-in") };
        shared.lock().deliver(new, SessionEvent::Protocol(5));
        assert_eq!(read(&shared), [2, 5]);
        assert_eq!(shared.lock().snapshot().events_dropped, 2);
    }

    #[test]
    fn no_command_passes_a_barge_in_that_waits() {
        let shared = Shared::<Numbers>::new(4, 4);
        shared.lock().interrupt(()).unwrap();
        shared.lock().try_push(()).unwrap();
        assert_eq!(shared.lock().take_command(), None);
        assert!(shared.lock().take_interrupt().is_some());
        assert_eq!(shared.lock().take_command(), Some(()));
    }

    #[test]
    fn the_first_outcome_is_the_one_that_is_told() {
        let shared = Shared::<Numbers>::new(4, 4);
        shared.lock().end(Ok(()));
        shared.lock().stop();
        let cx = Context::from_waker(Waker::noop());
        assert!(matches!(shared.lock().poll_event(&cx), Poll::Ready(None)));
    }
}
