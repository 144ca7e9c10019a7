//! Where a session's links come from: given once, adopted, or dialled.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use voxline_protocol::Machine;
use voxline_transport::{Connector, Transport, TransportError};

use crate::driver::now;
use crate::supervisor::{LinkEnd, Next, Supervisor};
use crate::{SessionConfig, SessionError};

pub(crate) enum Source<T> {
    /// One link, and no other.
    Given { first: Option<T> },
    /// A peer that dials us, and may dial again within `grace`.
    Adopted { first: Option<T>, links: mpsc::Receiver<T>, grace: Duration },
    /// A peer we dial.
    Dialled(Box<Dialled<T>>),
}

impl<T: Transport> Source<T> {
    /// Dials once, now.
    pub(crate) async fn connect<C>(connector: C, config: &SessionConfig) -> Result<Self, SessionError>
    where
        C: Connector<Transport = T>,
    {
        let mut dialled = Dialled::new(connector, config);
        let begun = now();
        match dialled.supervisor.poll(begun) {
            Next::Dial => {}
            Next::Wait(until) => return Err(SessionError::HeldBack { wait: until - begun }),
            Next::GiveUp | Next::Idle => return Err(SessionError::HeldBack { wait: Duration::ZERO }),
        }
        match (dialled.dialer)().await {
            Ok(link) => {
                dialled.first = Some((link, begun));
                Ok(Self::Dialled(Box::new(dialled)))
            }
            Err(error) => {
                dialled.supervisor.on_failure(now(), error.retry());
                Err(SessionError::Transport(error))
            }
        }
    }

    /// Dials in the background, once the driver runs.
    pub(crate) fn start<C>(connector: C, config: &SessionConfig) -> Self
    where
        C: Connector<Transport = T>,
    {
        Self::Dialled(Box::new(Dialled::new(connector, config)))
    }

    /// The link that was there before the driver.
    pub(crate) fn take_first(&mut self, now: Instant) -> Option<First<T>> {
        match self {
            Self::Given { first } | Self::Adopted { first, .. } => {
                first.take().map(|link| First { link, took: None })
            }
            Self::Dialled(dialled) => {
                let (link, begun) = dialled.first.take()?;
                dialled.live = true;
                dialled.supervisor.on_connected();
                Some(First { link, took: Some(now - begun) })
            }
        }
    }
}

pub(crate) struct First<T> {
    pub(crate) link: T,
    /// How long the dial took, if there was one.
    pub(crate) took: Option<Duration>,
}

/// A dial is dropped with the driver, and closes what it had opened.
type Dial<T> = Pin<Box<dyn Future<Output = Result<T, TransportError>> + Send>>;

/// A supervisor and the dials it asks for.
pub(crate) struct Dialled<T> {
    supervisor: Supervisor,
    dialer: Box<dyn Fn() -> Dial<T> + Send>,
    first: Option<(T, Instant)>,
    dialling: Option<(Instant, Dial<T>)>,
    live: bool,
    /// The wait that was last told about.
    planned: Option<Instant>,
    wake_at: Option<Instant>,
}

/// What came of asking a [`Dialled`].
pub(crate) enum DialEvent<T> {
    /// A dial began. `told` unless its wait was announced or it is the very first.
    Began {
        attempt: u32,
        told: bool,
    },
    Failed(TransportError),
    GaveUp {
        attempts: u32,
        elapsed: Duration,
    },
    Opened {
        link: T,
        took: Duration,
    },
    Planned {
        attempt: u32,
        delay: Duration,
    },
}

impl<T: Transport> Dialled<T> {
    fn new<C: Connector<Transport = T>>(connector: C, config: &SessionConfig) -> Self {
        let connector = Arc::new(connector);
        Self {
            supervisor: Supervisor::new(config.retry.clone(), config.limits.clone(), now()),
            dialer: Box::new(move || {
                let connector = Arc::clone(&connector);
                Box::pin(async move { connector.connect().await })
            }),
            first: None,
            dialling: None,
            live: false,
            planned: None,
            wake_at: None,
        }
    }

    /// Takes one step; `None` once there is nothing to do before [`wake_at`](Self::wake_at).
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<DialEvent<T>> {
        if let Some((begun, dial)) = &mut self.dialling {
            let Poll::Ready(result) = dial.as_mut().poll(cx) else { return None };
            let took = now - *begun;
            self.dialling = None;
            return Some(self.on_dialled(now, took, result));
        }
        self.wake_at = None;
        match self.supervisor.poll(now) {
            Next::Dial => {
                self.dialling = Some((now, (self.dialer)()));
                let attempt = self.supervisor.attempts();
                Some(DialEvent::Began { attempt, told: self.planned.take().is_some() || attempt == 0 })
            }
            Next::Wait(until) => {
                self.wake_at = Some(until);
                if self.live || self.planned == Some(until) {
                    return None;
                }
                self.planned = Some(until);
                Some(DialEvent::Planned { attempt: self.supervisor.attempts(), delay: until - now })
            }
            Next::Idle => None,
            Next::GiveUp => Some(DialEvent::GaveUp {
                attempts: self.supervisor.attempts(),
                elapsed: self.supervisor.down_for(now),
            }),
        }
    }

    fn on_dialled(
        &mut self,
        now: Instant,
        took: Duration,
        result: Result<T, TransportError>,
    ) -> DialEvent<T> {
        match result {
            Ok(link) => {
                self.live = true;
                self.supervisor.on_connected();
                DialEvent::Opened { link, took }
            }
            Err(error) => {
                self.supervisor.on_failure(now, error.retry());
                DialEvent::Failed(error)
            }
        }
    }

    pub(crate) fn on_lost(&mut self, now: Instant, end: LinkEnd) {
        self.live = false;
        self.supervisor.on_lost(now, end);
    }

    /// Hears from the machine what its link is good for, or whether it wants one.
    pub(crate) fn listen<M: Machine>(&mut self, now: Instant, machine: &mut M) {
        if let Some(stated) = machine.poll_hold() {
            self.supervisor.on_hold(now, stated);
        }
        if self.live {
            self.supervisor.on_proof(now, machine.link_proof());
        } else if machine.wants_link() {
            self.supervisor.hurry(now);
        }
    }

    /// When to ask again at the latest.
    pub(crate) const fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { .. } => f.write_str("Given"),
            Self::Adopted { grace, .. } => f.debug_struct("Adopted").field("grace", grace).finish(),
            Self::Dialled(dialled) => f.debug_tuple("Dialled").field(&dialled.supervisor).finish(),
        }
    }
}
