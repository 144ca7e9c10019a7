//! What a pool's handle, its leases and its keeper share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures::StreamExt;
use futures::task::{AtomicWaker, noop_waker};
use tokio::sync::oneshot;
use voxline_protocol::Machine;

use super::{Lease, PoolConfig, PoolStatus};
use crate::driver::now;
use crate::limits::later;
use crate::{Session, SessionError};

pub(super) struct Inner<M: Machine> {
    pub(super) config: PoolConfig<M>,
    state: Mutex<State<M>>,
    keeper: AtomicWaker,
}

/// Who waits is granted a lease, or told why there is none.
pub(super) type Grant<M> = oneshot::Sender<Result<Lease<M>, SessionError>>;

pub(super) struct State<M: Machine> {
    /// Oldest first.
    pub(super) standby: VecDeque<Warm<M>>,
    pub(super) opening: usize,
    pub(super) lent: usize,
    /// First come, first served. Those who gave up are passed over.
    pub(super) waiters: VecDeque<Grant<M>>,
    /// To be closed in order by the keeper.
    pub(super) used: Vec<Session<M>>,
    pub(super) opened: u64,
    pub(super) died: u64,
    pub(super) closed: bool,
}

/// An initialised session that is not lent.
pub(super) struct Warm<M: Machine> {
    pub(super) session: Session<M>,
    pub(super) born: Instant,
    pub(super) idle_since: Instant,
    pub(super) proof: Proof,
}

/// When a warm session's peer last showed that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Given(Instant),
    /// It must answer before it is lent.
    Needed,
    AskedFor(Instant),
}

impl<M: Machine> Inner<M> {
    pub(super) fn new(config: PoolConfig<M>) -> Self {
        Self {
            config,
            state: Mutex::new(State {
                standby: VecDeque::new(),
                opening: 0,
                lent: 0,
                waiters: VecDeque::new(),
                used: Vec::new(),
                opened: 0,
                died: 0,
                closed: false,
            }),
            keeper: AtomicWaker::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Counts and queues change together under one lock, with no call between that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_keeper(&self) {
        self.keeper.wake();
    }

    pub(super) fn park_keeper(&self, waker: &Waker) {
        self.keeper.register(waker);
    }

    /// A lease ended.
    pub(super) fn take_back(self: &Arc<Self>, mut warm: Warm<M>, used: bool) {
        let now = now();
        let mut state = self.lock();
        state.lent -= 1;
        let doomed = if state.closed {
            Some(warm.session) // there may be no keeper any more
        } else if used || !warm.session.metrics().link_up {
            state.used.push(warm.session);
            None
        } else {
            warm.idle_since = now;
            if self.config.probe.is_none() && warm.proof == Proof::Needed {
                warm.session.discard_events();
                warm.proof = Proof::Given(now);
            }
            state.offer(self, warm, now);
            None
        };
        drop(state);
        drop(doomed);
        self.wake_keeper();
    }
}

impl<M: Machine> State<M> {
    /// Gives `warm` to the first who waits, or puts it by.
    pub(super) fn offer(&mut self, inner: &Arc<Inner<M>>, mut warm: Warm<M>, now: Instant) {
        if warm.is_lendable(&inner.config, now) {
            while let Some(grant) = self.waiters.pop_front() {
                match grant.send(Ok(Lease::new(Arc::clone(inner), warm))) {
                    Ok(()) => {
                        self.lent += 1;
                        return;
                    }
                    // Taken out of the lease here: its `drop` would wait for the lock we hold.
                    Err(Ok(mut refused)) => match refused.warm.take() {
                        Some(back) => warm = back,
                        None => unreachable!("the lease was made with a session two lines above"),
                    },
                    Err(Err(_)) => unreachable!("`Ok` was sent"),
                }
            }
        }
        self.standby.push_back(warm);
    }

    pub(super) fn take_lendable(&mut self, config: &PoolConfig<M>, now: Instant) -> Option<Warm<M>> {
        let position = self.standby.iter().position(|warm| warm.is_lendable(config, now))?;
        self.standby.remove(position)
    }

    pub(super) fn forget_who_left(&mut self) {
        self.waiters.retain(|grant| !grant.is_closed());
    }

    /// No more lending; who waits learns it by the grant being dropped.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiters.clear();
    }

    pub(super) fn status(&self, config: &PoolConfig<M>) -> PoolStatus {
        PoolStatus {
            standby: self.standby.len(),
            opening: self.opening,
            lent: self.lent,
            waiting: self.waiters.iter().filter(|grant| !grant.is_closed()).count(),
            max: config.max,
            opened: self.opened,
            died: self.died,
        }
    }
}

impl<M: Machine> Warm<M> {
    pub(super) fn is_alive(&self) -> bool {
        let metrics = self.session.metrics();
        metrics.link_up && !metrics.ended
    }

    fn is_lendable(&self, config: &PoolConfig<M>, now: Instant) -> bool {
        let proved = match (self.proof, &config.probe) {
            // The margin covers the keeper's own lateness.
            (Proof::Given(at), Some(probe)) => now <= later(later(at, probe.every), probe.limit),
            (Proof::Given(_), None) => true,
            (Proof::Needed | Proof::AskedFor(_), _) => false,
        };
        proved && now < later(self.born, config.max_age) && self.is_alive()
    }
}

impl<M: Machine> Session<M> {
    /// Drops what has arrived and was not read.
    fn discard_events(&mut self) {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let (_, receiver) = self.halves();
        while let Poll::Ready(Some(Ok(_))) = receiver.poll_next_unpin(&mut cx) {}
    }
}
