//! Synthesis sessions that are ready for the next call, and for one that loses its own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use voxline_protocol::slng::{TtsClient, TtsEvent};
use voxline_session::{Pool, PoolConfig, Session, SessionConfig};
use voxline_transport::Connector;

/// A pool that is there while somebody serves.
pub(super) struct Standby<C: Connector>(Mutex<Option<Arc<Pool<TtsClient, C>>>>);

impl<C: Connector> Standby<C> {
    /// Fills the pool with so many sessions, unless there is one already.
    pub(super) fn open(
        &self,
        sessions: usize,
        connector: impl FnOnce() -> C,
        machine: impl Fn() -> TtsClient + Send + Sync + 'static,
        session: SessionConfig,
    ) {
        let mut pool = self.lock();
        if sessions > 0 && pool.is_none() {
            let config = PoolConfig::new(sessions, |event| matches!(event, TtsEvent::Ready { .. }))
                .with_min_standby(sessions)
                .with_session(session);
            *pool = Some(Arc::new(Pool::new(connector(), machine, config)));
        }
    }

    /// A session that is ready now, if there is one. It is the call's own from then on: the pool counts only what stands
    /// by.
    pub(super) fn lease(&self) -> Option<Session<TtsClient>> {
        let lease = self.lock().as_ref()?.try_acquire()?;
        Some(lease.into_parts().0)
    }

    /// Closes what stands by, in order and within twice the sessions' close limit.
    pub(super) async fn close(&self) {
        let pool = self.lock().take();
        if let Some(pool) = pool {
            pool.close().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Pool<TtsClient, C>>>> {
        // Whole after any panic of its user: one pointer is written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connector> Default for Standby<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Connector> fmt::Debug for Standby<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Standby").field(&*self.lock()).finish()
    }
}
