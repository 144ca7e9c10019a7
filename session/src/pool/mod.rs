//! Warm sessions, handed out by lease.

mod keeper;
mod state;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use voxline_protocol::Machine;
use voxline_transport::{Connector, TransportError};

use crate::driver::now;
use crate::{Session, SessionConfig, SessionError};

use self::keeper::Keeper;
use self::state::{Inner, Proof, Warm};

/// Keeps sessions connected and initialised, and lends them.
///
/// One task of the pool's own opens, watches and closes sessions; [`acquire`](Self::acquire) only
/// takes what is ready or waits in line, so that a borrower who gives up leaves nothing half
/// open. A warm session is lent without a handshake. Only one whose link is up is lent, and, where a
/// [`Probe`] is set, whose peer has answered one lately; a standby that dies is replaced before
/// anybody asks for it.
///
/// ```no_run
/// # async fn example<M: voxline_protocol::Machine, C: voxline_transport::Connector>(
/// #     connector: C, machine: fn() -> M, is_ready: fn(&M::Event) -> bool, hello: M::Command,
/// # ) -> Result<(), voxline_session::SessionError> {
/// use voxline_session::{Pool, PoolConfig};
///
/// let pool = Pool::new(connector, machine, PoolConfig::new(20, is_ready).with_min_standby(2));
/// let mut lease = pool.acquire().await?;
/// let (sender, receiver) = lease.session().halves();
/// sender.send(hello).await?;
/// lease.give_back();
/// pool.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Pool<M: Machine, C: Connector> {
    inner: Arc<Inner<M>>,
    connector: Arc<C>,
    keeper: JoinHandle<()>,
    /// True once the keeper has nothing left in its hands.
    emptied: watch::Receiver<bool>,
}

impl<M: Machine, C: Connector> Pool<M, C> {
    /// Spawns the keeper on the current Tokio runtime, and begins to fill the standby.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn new(
        connector: C,
        machines: impl Fn() -> M + Send + Sync + 'static,
        config: PoolConfig<M>,
    ) -> Self {
        let connector = Arc::new(connector);
        let dialled = Arc::clone(&connector);
        let session = config.session.clone();
        let open =
            move || Session::builder(machines()).config(session.clone()).start(Sharing(Arc::clone(&dialled)));
        let inner = Arc::new(Inner::new(config));
        let (done, emptied) = watch::channel(false);
        let keeper = Keeper::new(Arc::clone(&inner), Box::new(open));
        let keeper = tokio::spawn(async move {
            keeper.await;
            let _ = done.send(true); // nobody may be waiting
        });
        Self { inner, connector, keeper, emptied }
    }

    /// Borrows a session: a warm one at once, else the next that becomes free or is opened.
    /// Borrowers are served in the order in which they asked.
    ///
    /// Cancel-safe: dropped while waiting, the place in line is given up, and a session that was
    /// already granted goes back.
    ///
    /// # Errors
    /// [`SessionError::PoolTimeout`] when none came within [`PoolConfig::acquire_limit`],
    /// [`SessionError::PoolClosed`], or why opening one failed for good.
    pub async fn acquire(&self) -> Result<Lease<M>, SessionError> {
        if let Some(lease) = self.try_acquire() {
            return Ok(lease);
        }
        let granted = {
            let mut state = self.inner.lock();
            if state.closed {
                return Err(SessionError::PoolClosed);
            }
            let (grant, granted) = oneshot::channel();
            state.waiters.push_back(grant);
            granted
        };
        self.inner.wake_keeper();
        let limit = self.inner.config.acquire_limit;
        match tokio::time::timeout(limit, granted).await {
            Ok(Ok(granted)) => granted,
            Ok(Err(_dropped)) => Err(SessionError::PoolClosed),
            Err(_elapsed) => {
                let status = self.status();
                let in_use = status.lent + status.opening;
                Err(SessionError::PoolTimeout { limit, in_use, max: status.max })
            }
        }
    }

    /// Borrows a session that is warm now, unless somebody is in line for it.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Lease<M>> {
        let mut state = self.inner.lock();
        state.forget_who_left();
        if state.closed || !state.waiters.is_empty() {
            return None;
        }
        let warm = state.take_lendable(&self.inner.config, now())?;
        state.lent += 1;
        drop(state);
        self.inner.wake_keeper();
        Some(Lease::new(Arc::clone(&self.inner), warm))
    }

    /// How the pool stands.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.inner.lock().status(&self.inner.config)
    }

    /// What the pool dials with.
    #[must_use]
    pub fn connector(&self) -> &C {
        &self.connector
    }

    /// Lends nothing more, turns away who waits, closes what is warm or being opened, and waits
    /// until that is gone: at most twice the sessions' close limit.
    ///
    /// Leases still out stay usable; their sessions end when they come back. Cancel-safe: dropped
    /// while waiting, the closing goes on.
    pub async fn close(&self) {
        self.inner.lock().close();
        self.inner.wake_keeper();
        let mut emptied = self.emptied.clone();
        // An error means that the keeper was aborted, and everything it held dropped.
        let _ = emptied.wait_for(|done| *done).await;
    }
}

/// Everything the pool holds is cut; leases still out stay usable.
impl<M: Machine, C: Connector> Drop for Pool<M, C> {
    fn drop(&mut self) {
        self.keeper.abort();
        let cut = {
            let mut state = self.inner.lock();
            state.close();
            (std::mem::take(&mut state.standby), std::mem::take(&mut state.used))
        };
        drop(cut); // outside the lock: the sessions' own are taken
    }
}

impl<M: Machine, C: Connector> fmt::Debug for Pool<M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// A borrowed session.
///
/// Dropped untouched, it goes back to the pool. Dropped after use it is closed in order, since
/// what is still under way on it would reach the next borrower: say
/// [`give_back`](Self::give_back) when nothing is.
pub struct Lease<M: Machine> {
    inner: Arc<Inner<M>>,
    /// Gone only within the methods that consume the lease.
    warm: Option<Warm<M>>,
    used: bool,
}

impl<M: Machine> Lease<M> {
    fn new(inner: Arc<Inner<M>>, warm: Warm<M>) -> Self {
        Self { inner, warm: Some(warm), used: false }
    }

    /// The session, to be used as any other until the lease ends.
    pub fn session(&mut self) -> &mut Session<M> {
        self.used = true;
        match &mut self.warm {
            Some(warm) => &mut warm.session,
            None => unreachable!("`warm` is taken only by methods that consume the lease, and by `drop`"),
        }
    }

    /// Returns a session on which nothing is under way. Where the pool has a [`Probe`], it is lent
    /// again only after the peer has answered one; without, what has already arrived is dropped.
    pub fn give_back(mut self) {
        self.used = false;
        if let Some(warm) = &mut self.warm {
            warm.proof = Proof::Needed;
        }
    }

    /// Takes the session out of the lease, for two tasks or for good. The pool counts it until the
    /// [`Slot`] is dropped.
    pub fn into_parts(mut self) -> (Session<M>, Slot<M>) {
        let Some(warm) = self.warm.take() else {
            unreachable!("`warm` is taken only by methods that consume the lease, and by `drop`")
        };
        (warm.session, Slot { inner: Arc::clone(&self.inner) })
    }
}

impl<M: Machine> Drop for Lease<M> {
    fn drop(&mut self) {
        if let Some(warm) = self.warm.take() {
            self.inner.take_back(warm, self.used);
        }
    }
}

impl<M: Machine> fmt::Debug for Lease<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("used", &self.used).finish_non_exhaustive()
    }
}

/// The place in a pool of a session that was taken out of its lease. Drop it when the session ends.
#[must_use = "the pool opens another session as soon as this is dropped"]
pub struct Slot<M: Machine> {
    inner: Arc<Inner<M>>,
}

impl<M: Machine> Drop for Slot<M> {
    fn drop(&mut self) {
        self.inner.lock().lent -= 1;
        self.inner.wake_keeper();
    }
}

impl<M: Machine> fmt::Debug for Slot<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// The limits of one pool.
#[non_exhaustive]
#[derive(Debug)]
pub struct PoolConfig<M: Machine> {
    /// The most sessions there may be at once, lent, warm and being opened together: what the vendor
    /// allows. At least 1.
    pub max: usize,
    /// Sessions kept warm, 1 by default: as many as calls begin within one handshake. More cost idle
    /// links; fewer make a burst of calls wait for handshakes.
    pub min_standby: usize,
    /// Age at which a warm session is replaced, 10 min by default. Stay below the vendor's own limit.
    pub max_age: Duration,
    /// How long a session beyond `min_standby` is kept warm, 60 s by default.
    pub idle_limit: Duration,
    /// The longest `acquire` waits, 5 s by default.
    pub acquire_limit: Duration,
    /// The longest a session may take to be initialised, redials included, 10 s by default; then it is
    /// given up and another one opened.
    pub ready_limit: Duration,
    /// The event that says that a session is initialised and may be lent.
    pub is_ready: fn(&M::Event) -> bool,
    /// How a warm session's peer proves that it is alive. Without one, the default, the link's own
    /// pings have to do.
    pub probe: Option<Probe<M>>,
    /// The limits of each session.
    pub session: SessionConfig,
}

impl<M: Machine> PoolConfig<M> {
    /// At most `max` sessions, each to be lent once `is_ready` was true of one of its events.
    #[must_use]
    pub fn new(max: usize, is_ready: fn(&M::Event) -> bool) -> Self {
        Self {
            max: max.max(1),
            min_standby: 1,
            max_age: Duration::from_secs(600),
            idle_limit: Duration::from_secs(60),
            acquire_limit: Duration::from_secs(5),
            ready_limit: Duration::from_secs(10),
            is_ready,
            probe: None,
            session: SessionConfig::default(),
        }
    }

    /// Sets how many sessions are kept warm.
    #[must_use]
    pub fn with_min_standby(mut self, sessions: usize) -> Self {
        self.min_standby = sessions;
        self
    }

    /// Sets the age at which a warm session is replaced.
    #[must_use]
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets how long surplus sessions are kept warm.
    #[must_use]
    pub fn with_idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = limit;
        self
    }

    /// Sets the longest wait of `acquire`.
    #[must_use]
    pub fn with_acquire_limit(mut self, limit: Duration) -> Self {
        self.acquire_limit = limit;
        self
    }

    /// Sets the longest a session may take to be initialised.
    #[must_use]
    pub fn with_ready_limit(mut self, limit: Duration) -> Self {
        self.ready_limit = limit;
        self
    }

    /// Sets the proof of life.
    #[must_use]
    pub fn with_probe(mut self, probe: Probe<M>) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Sets the limits of each session.
    #[must_use]
    pub fn with_session(mut self, session: SessionConfig) -> Self {
        self.session = session;
        self
    }
}

/// A command without effect that every living peer answers.
#[non_exhaustive]
#[derive(Debug)]
pub struct Probe<M: Machine> {
    /// Makes the command.
    pub command: fn() -> M::Command,
    /// Whether an event is the answer.
    pub is_answer: fn(&M::Event) -> bool,
    /// Warm sessions are asked this often, 15 s by default. Rarely enough not to bother the vendor;
    /// often enough that a dead one is found before it is needed.
    pub every: Duration,
    /// The longest the answer may take, 2 s by default; then the session is replaced.
    pub limit: Duration,
}

impl<M: Machine> Probe<M> {
    /// A probe every 15 s, to be answered within 2 s.
    #[must_use]
    pub fn new(command: fn() -> M::Command, is_answer: fn(&M::Event) -> bool) -> Self {
        Self { command, is_answer, every: Duration::from_secs(15), limit: Duration::from_secs(2) }
    }

    /// Sets how often a warm session is asked, and how long it may take to answer.
    #[must_use]
    pub fn with_times(mut self, every: Duration, limit: Duration) -> Self {
        self.every = every;
        self.limit = limit;
        self
    }
}

/// A pool's sessions, counted at one instant.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStatus {
    /// Warm and not lent.
    pub standby: usize,
    /// Being connected and initialised.
    pub opening: usize,
    /// With borrowers.
    pub lent: usize,
    /// Borrowers in line.
    pub waiting: usize,
    /// The most sessions there may be.
    pub max: usize,
    /// Sessions opened since the pool began.
    pub opened: u64,
    /// Warm sessions that died, or did not answer, before anybody borrowed them.
    pub died: u64,
}

/// One connector behind all sessions of a pool.
#[derive(Debug)]
struct Sharing<C>(Arc<C>);

impl<C: Connector> Connector for Sharing<C> {
    type Transport = C::Transport;

    fn connect(&self) -> impl Future<Output = Result<C::Transport, TransportError>> + Send {
        self.0.connect()
    }
}
