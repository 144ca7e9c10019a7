//! Warm sessions, handed out by lease.

mod config;
mod keeper;
mod state;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use voxline_protocol::Machine;
use voxline_transport::{Connector, TransportError};

use crate::driver::now;
use crate::{Session, SessionError};

pub use self::config::{PoolConfig, Probe};
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
