//! What all sessions with one vendor have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Breaker, Budget};

/// What all sessions with one vendor share: a retry [`Budget`], a [`Breaker`], and the wait the vendor
/// asked one of them for, during which none of them dials. Clones share.
///
/// ```
/// use voxline_session::{Breaker, Budget, VendorLimits};
///
/// let limits = VendorLimits::new(Budget::default(), Breaker::default());
/// assert_eq!(limits.clone().spent(), 0);
/// assert!(!limits.is_open());
/// ```
#[derive(Debug, Clone, Default)]
pub struct VendorLimits(Arc<Mutex<Limits>>);

#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) budget: Budget,
    pub(crate) breaker: Breaker,
    held_until: Option<Instant>,
}

impl Limits {
    /// Nobody dials before `until`. Of two such wishes the later one counts.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.held_until = self.held_until.max(Some(until));
    }

    /// When dials are allowed again, if they are not at `now`.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.held_until.filter(|until| *until > now)
    }
}

impl VendorLimits {
    /// Limits for one vendor, to be cloned into each of its sessions.
    #[must_use]
    pub fn new(budget: Budget, breaker: Breaker) -> Self {
        Self(Arc::new(Mutex::new(Limits { budget, breaker, held_until: None })))
    }

    /// Retries taken from the budget so far.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.lock().budget.spent()
    }

    /// Whether the breaker holds dials back.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lock().breaker.is_open()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Limits> {
        // Held for a few sums and never across an await; no sum can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `wait` after `from`. A peer's or a user's number may be too large for the clock.
pub(crate) fn later(from: Instant, wait: Duration) -> Instant {
    from + wait.min(LONGEST_WAIT)
}

/// No session waits for longer, whatever it was told.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);
