//! A live session, and how it comes about.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use voxline_protocol::{CommandError, Machine};
use voxline_transport::{Connector, Transport};

use crate::shared::Shared;
use crate::source::Source;
use crate::{Driver, Metrics, Receiver, RetryPolicy, Sender, SessionError, VendorLimits};

/// A live session: one machine, one link at a time, one driver.
///
/// ```
/// use futures::StreamExt;
/// use voxline_protocol::{CommandError, Input, Machine, Message, ProtocolError};
/// use voxline_session::{Session, SessionEvent};
/// use voxline_transport::memory;
/// # use std::time::Instant;
/// # use futures::SinkExt;
///
/// /// Says what it is told to, and tells what it hears.
/// #[derive(Debug, Default)]
/// struct Plain { say: Option<String>, heard: Option<String> }
///
/// impl Machine for Plain {
///     type Command = String;
///     type Event = String;
///     fn handle_input(&mut self, _: Instant, input: Input<'_>) -> Result<(), ProtocolError> {
///         if let Input::Text(text) = input {
///             self.heard = Some(text.to_owned());
///         }
///         Ok(())
///     }
///     fn handle_command(&mut self, _: Instant, text: String) -> Result<(), CommandError> {
///         self.say = Some(text);
///         Ok(())
///     }
///     fn poll_transmit(&mut self) -> Option<Message> { self.say.take().map(Message::Text) }
///     fn poll_event(&mut self) -> Option<String> { self.heard.take() }
/// #   fn handle_timeout(&mut self, _: Instant) -> Result<(), ProtocolError> { Ok(()) }
/// #   fn poll_timeout(&self) -> Option<Instant> { None }
/// #   fn is_finished(&self) -> bool { false }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, mut theirs) = memory::pair(8);
/// let (mut sender, mut receiver) = Session::builder(Plain::default()).accept(ours).split();
/// sender.send("hello".into()).await?;
/// assert!(theirs.next().await.is_some());
/// # use voxline_protocol::Message as M;
/// theirs.send(M::Text("and to you".into())).await?;
/// let event = receiver.next().await.transpose()?;
/// assert!(matches!(event, Some(SessionEvent::Protocol(text)) if text == "and to you"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session<M: Machine> {
    sender: Sender<M>,
    receiver: Receiver<M>,
}

impl<M: Machine> Session<M> {
    /// Starts from a machine that has not had a link yet.
    pub fn builder(machine: M) -> Builder<M> {
        Builder { machine, config: SessionConfig::default() }
    }

    /// The two halves, for two tasks. Either may be dropped first; each says what follows.
    #[must_use]
    pub fn split(self) -> (Sender<M>, Receiver<M>) {
        (self.sender, self.receiver)
    }

    /// Both halves, for one task.
    pub const fn halves(&mut self) -> (&mut Sender<M>, &mut Receiver<M>) {
        (&mut self.sender, &mut self.receiver)
    }

    /// What the session has done so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.sender.metrics()
    }

    fn new(shared: Arc<Shared<M>>, task: Option<JoinHandle<()>>) -> Self {
        Self { sender: Sender::new(Arc::clone(&shared)), receiver: Receiver::new(shared, task) }
    }
}

/// What a [`Receiver`] yields.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent<E> {
    /// The first link of a session that was [started](Builder::start) without one is up.
    Connected {
        /// Time since the session began.
        after: Duration,
    },
    /// The machine's own event.
    Protocol(E),
    /// A link is up again.
    Reconnected {
        /// Time since the last one was lost.
        after: Duration,
    },
    /// There is no link, and the next dial is planned. The machine keeps what the peer had not
    /// covered. While the application does not read, a newer plan replaces an older one.
    Reconnecting {
        /// Which redial in a row, from 1; 0 for the first dial of all, when it was put off.
        attempt: u32,
        /// Until it is made.
        delay: Duration,
    },
    /// The machine refused a queued command. The session goes on.
    Refused(CommandError),
    /// The accepted link is gone; the session ends unless its [`Adopter`] brings another in time.
    Unlinked {
        /// The time left for it.
        grace: Duration,
    },
}

impl<E> SessionEvent<E> {
    pub(crate) fn is_perishable<M: Machine<Event = E>>(&self) -> bool {
        matches!(self, Self::Protocol(event) if M::is_perishable(event))
    }
}

/// The limits of one session. Every queue and every wait has its own.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Commands that wait for the driver, 64 by default. The driver hands them on as soon as it
    /// runs, so this is for bursts; at least 1.
    pub command_capacity: usize,
    /// Events that wait for the application, 256 by default: 5 s of 20 ms frames. When they are that
    /// many, the link is not read until the application is; at least 1.
    pub event_capacity: usize,
    /// The longest an orderly end may take before it is cut, 5 s by default; and, within that end, the
    /// longest a peer may take to answer our close frame.
    pub close_limit: Duration,
    /// The longest a link may refuse to take a message before it counts as lost, 10 s by default. Too
    /// short takes a network's pause for its end; too long speaks into the void.
    pub send_limit: Duration,
    /// When a lost link is dialled again.
    pub retry: RetryPolicy,
    /// What is shared with the other sessions of this vendor. By default nothing is.
    pub limits: VendorLimits,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            command_capacity: 64,
            event_capacity: 256,
            close_limit: Duration::from_secs(5),
            send_limit: Duration::from_secs(10),
            retry: RetryPolicy::default(),
            limits: VendorLimits::default(),
        }
    }
}

/// Makes a [`Session`] of a machine and the way to its links.
#[must_use = "a builder does nothing until it is given a link or a connector"]
#[derive(Debug)]
pub struct Builder<M: Machine> {
    machine: M,
    config: SessionConfig,
}

impl<M: Machine> Builder<M> {
    /// Sets all limits at once.
    pub fn config(mut self, config: SessionConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets [`SessionConfig::retry`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.config.retry = policy;
        self
    }

    /// Sets [`SessionConfig::limits`].
    pub fn limits(mut self, limits: &VendorLimits) -> Self {
        self.config.limits = limits.clone();
        self
    }

    /// Sets [`SessionConfig::command_capacity`].
    pub const fn command_capacity(mut self, commands: usize) -> Self {
        self.config.command_capacity = commands;
        self
    }

    /// Sets [`SessionConfig::event_capacity`].
    pub const fn event_capacity(mut self, events: usize) -> Self {
        self.config.event_capacity = events;
        self
    }

    /// Sets [`SessionConfig::close_limit`].
    pub const fn close_limit(mut self, limit: Duration) -> Self {
        self.config.close_limit = limit;
        self
    }

    /// Sets [`SessionConfig::send_limit`].
    pub const fn send_limit(mut self, limit: Duration) -> Self {
        self.config.send_limit = limit;
        self
    }

    /// Dials once, then spawns the driver on the current Tokio runtime. Links lost later are dialled
    /// again as the retry policy says.
    ///
    /// Cancel-safe: dropped while dialling, nothing is left behind.
    ///
    /// # Errors
    /// The dial failed. Its limit is the connector's.
    pub async fn connect<C: Connector>(self, connector: C) -> Result<Session<M>, SessionError> {
        let source = Source::connect(connector, &self.config).await?;
        Ok(self.spawn(source))
    }

    /// Spawns the driver on the current Tokio runtime, and dials in the background from the first
    /// attempt on as the retry policy says. Commands given before a link is up wait in the machine.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn start<C: Connector>(self, connector: C) -> Session<M> {
        let source = Source::start(connector, &self.config);
        self.spawn(source)
    }

    /// Spawns the driver over a link that is already open, as a server has it. The session ends with
    /// its link.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn accept<T: Transport>(self, link: T) -> Session<M> {
        self.spawn(Source::Given { first: Some(link) })
    }

    /// Like [`accept`](Self::accept), for a peer that dials again: a session whose link is lost lives on
    /// for `grace`, and its machine with it, so that the [`Adopter`] can bring the new link.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn accept_adoptable<T: Transport>(self, link: T, grace: Duration) -> (Session<M>, Adopter<T>) {
        let (links, adopted) = mpsc::channel(1);
        (self.spawn(Source::Adopted { first: Some(link), links: adopted, grace }), Adopter { links })
    }

    /// Like [`accept`](Self::accept), but hands the driver over for the caller to poll, inside a Tokio
    /// runtime.
    pub fn drive<T: Transport>(self, link: T) -> (Session<M>, Driver<M, T>) {
        let shared = Arc::new(Shared::new(self.config.command_capacity, self.config.event_capacity));
        let source = Source::Given { first: Some(link) };
        let driver = Driver::new(self.machine, Arc::clone(&shared), source, &self.config);
        (Session::new(shared, None), driver)
    }

    fn spawn<T: Transport>(self, source: Source<T>) -> Session<M> {
        let shared = Arc::new(Shared::new(self.config.command_capacity, self.config.event_capacity));
        let driver = Driver::new(self.machine, Arc::clone(&shared), source, &self.config);
        Session::new(shared, Some(tokio::spawn(driver)))
    }
}

/// Gives a live session another accepted link: the way back for a peer that dials again.
///
/// Dropping it lets the session end with the link it has.
pub struct Adopter<T> {
    links: mpsc::Sender<T>,
}

impl<T: Transport> Adopter<T> {
    /// Hands `link` to the session. A link the session still holds is dropped for it, so a peer's
    /// redial also heals a link that is dead but not yet known to be.
    ///
    /// Waits at most for the driver's next turn. Cancel-safe: dropped while waiting, the link is closed.
    ///
    /// # Errors
    /// The session has ended; the link is given back.
    pub async fn adopt(&self, link: T) -> Result<(), T> {
        self.links.send(link).await.map_err(|refused| refused.0)
    }

    /// As [`adopt`](Self::adopt), but dropped while waiting it leaves the link where it is. One for a session that has
    /// ended stays there too.
    pub(crate) async fn adopt_from(&self, link: &mut Option<T>) {
        if let Ok(room) = self.links.reserve().await
            && let Some(link) = link.take()
        {
            room.send(link);
        }
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.links.is_closed()
    }
}

impl<T> fmt::Debug for Adopter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopter").field("closed", &self.links.is_closed()).finish()
    }
}
