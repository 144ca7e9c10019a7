//! The pool's own task: opens, watches and closes sessions.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Sleep;
use tracing::{debug, warn};
use voxline_protocol::Machine;

use super::state::{Inner, Proof, State, Warm};
use crate::driver::now;
use crate::limits::later;
use crate::{Delays, Session, SessionError, SessionEvent};

/// Ends once the pool is closed and every session in its hands is gone.
pub(super) struct Keeper<M: Machine> {
    inner: Arc<Inner<M>>,
    open: Box<dyn Fn() -> Session<M> + Send>,
    opening: Vec<Opening<M>>,
    /// Sessions on their way out, until their tasks are gone.
    leaving: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Spaces the openings after one that failed.
    delays: Delays,
    failed_at: Option<Instant>,
    not_before: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

struct Opening<M: Machine> {
    session: Session<M>,
    begun: Instant,
}

/// What became of an opening session or of a warm one.
enum Fate {
    Unchanged,
    /// It said what it was awaited to say.
    Spoke,
    Dead(Option<SessionError>),
}

impl<M: Machine> Keeper<M> {
    pub(super) fn new(inner: Arc<Inner<M>>, open: Box<dyn Fn() -> Session<M> + Send>) -> Self {
        let delays = inner.config.session.retry.delays();
        Self {
            inner,
            open,
            opening: Vec::new(),
            leaving: FuturesUnordered::new(),
            delays,
            failed_at: None,
            not_before: None,
            sleep: None,
        }
    }

    /// One look at everything, ending with when to look again at the latest.
    fn look(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Instant> {
        let inner = Arc::clone(&self.inner);
        let mut state = inner.lock();
        state.forget_who_left();
        for session in std::mem::take(&mut state.used) {
            self.dismiss(session);
        }
        if state.closed {
            self.dismiss_all(&mut state);
            return None;
        }
        let mut wake_at = None;
        self.watch_opening(cx, now, &mut state, &mut wake_at);
        self.watch_standby(cx, now, &mut state, &mut wake_at);
        let missing = self.count_missing(now, &mut state, &mut wake_at);
        drop(state); // the application's own code makes the machines
        for _ in 0..missing {
            self.opening.push(Opening { session: (self.open)(), begun: now });
            sooner(&mut wake_at, now); // to be polled for the first time
        }
        wake_at
    }

    fn watch_opening(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        state: &mut State<M>,
        wake_at: &mut Option<Instant>,
    ) {
        let inner = Arc::clone(&self.inner);
        let config = &inner.config;
        for mut opening in std::mem::take(&mut self.opening) {
            let give_up = later(opening.begun, config.ready_limit);
            match fate(cx, &mut opening.session, config.is_ready) {
                Fate::Spoke => {
                    state.opening -= 1;
                    let proof = Proof::Given(now);
                    let warm = Warm { session: opening.session, born: now, idle_since: now, proof };
                    state.offer(&inner, warm, now);
                }
                Fate::Dead(error) => {
                    warn!(error = error.as_ref().map(tracing::field::display), "no session could be opened");
                    state.opening -= 1;
                    self.on_failure(now);
                    self.abandon(opening.session);
                    // Whoever waits longest learns why, and the next one has another session to hope for.
                    if let (Some(error), Some(grant)) = (error, state.waiters.pop_front()) {
                        let _ = grant.send(Err(error));
                    }
                }
                Fate::Unchanged if give_up <= now => {
                    warn!(limit = ?config.ready_limit, "pooled session was not initialised in time");
                    state.opening -= 1;
                    self.on_failure(now);
                    self.abandon(opening.session);
                }
                Fate::Unchanged => {
                    sooner(wake_at, give_up);
                    self.opening.push(opening);
                }
            }
        }
    }

    /// The vendor gave a session that was never ready, or not for long.
    fn on_failure(&mut self, now: Instant) {
        let policy = &self.inner.config.session.retry;
        let quiet = policy.cap.saturating_mul(2);
        if self.failed_at.is_none_or(|last| now.saturating_duration_since(last) > quiet) {
            self.delays.reset();
        }
        self.failed_at = Some(now);
        self.not_before = self.delays.next().map(|delay| later(now, delay.max(SHORTEST_PAUSE)));
    }

    fn watch_standby(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        state: &mut State<M>,
        wake_at: &mut Option<Instant>,
    ) {
        let inner = Arc::clone(&self.inner);
        let config = &inner.config;
        let surplus = state.standby.len().saturating_sub(config.min_standby);
        let mut retired = 0;
        for mut warm in std::mem::take(&mut state.standby) {
            let is_answer =
                config.probe.as_ref().map_or(never as fn(&M::Event) -> bool, |probe| probe.is_answer);
            match fate(cx, &mut warm.session, is_answer) {
                Fate::Spoke => warm.proof = Proof::Given(now),
                Fate::Unchanged if warm.is_alive() => {}
                Fate::Dead(_) | Fate::Unchanged => {
                    debug!("a warm session died");
                    state.died += 1;
                    if now < later(warm.born, config.session.retry.good_after) {
                        self.on_failure(now);
                    } else {
                        self.delays.reset();
                    }
                    self.abandon(warm.session);
                    continue;
                }
            }
            let too_old = later(warm.born, config.max_age);
            let too_idle = later(warm.idle_since, config.idle_limit);
            if too_old <= now || (too_idle <= now && retired < surplus) {
                retired += 1;
                self.dismiss(warm.session);
                continue;
            }
            if self.ask_for_proof(now, &mut warm, wake_at) {
                state.died += 1;
                self.abandon(warm.session);
                continue;
            }
            sooner(wake_at, too_old);
            if surplus > 0 && too_idle > now {
                sooner(wake_at, too_idle);
            }
            state.offer(&inner, warm, now);
        }
    }

    /// Probes a session that has been silent too long; `true` if it did not answer in time.
    fn ask_for_proof(&self, now: Instant, warm: &mut Warm<M>, wake_at: &mut Option<Instant>) -> bool {
        let Some(probe) = &self.inner.config.probe else { return false };
        match warm.proof {
            Proof::AskedFor(since) if later(since, probe.limit) <= now => return true,
            Proof::AskedFor(since) => sooner(wake_at, later(since, probe.limit)),
            Proof::Given(at) if later(at, probe.every) > now => sooner(wake_at, later(at, probe.every)),
            Proof::Given(_) | Proof::Needed => {
                let (sender, _) = warm.session.halves();
                // A full queue is as good a sign of death as silence.
                let _ = sender.try_send((probe.command)());
                warm.proof = Proof::AskedFor(now);
                sooner(wake_at, later(now, probe.limit));
            }
        }
        false
    }

    /// How many sessions to open, for those who wait and for the standby. They count from now on.
    fn count_missing(&self, now: Instant, state: &mut State<M>, wake_at: &mut Option<Instant>) -> usize {
        let config = &self.inner.config;
        let wanted = state.waiters.len() + config.min_standby;
        let missing = wanted.saturating_sub(state.standby.len() + state.opening);
        let room = config.max.saturating_sub(state.standby.len() + state.opening + state.lent);
        let missing = missing.min(room);
        if missing == 0 {
            return 0;
        }
        if let Some(at) = self.not_before.filter(|at| *at > now) {
            sooner(wake_at, at);
            return 0;
        }
        state.opening += missing;
        state.opened += missing as u64;
        missing
    }

    fn dismiss_all(&mut self, state: &mut State<M>) {
        state.opening = 0;
        for opening in std::mem::take(&mut self.opening) {
            self.abandon(opening.session);
        }
        for warm in std::mem::take(&mut state.standby) {
            self.dismiss(warm.session);
        }
    }

    /// Closes in order.
    fn dismiss(&self, session: Session<M>) {
        let (sender, receiver) = session.split();
        drop(sender);
        self.leaving.push(Box::pin(async move {
            if let Err(error) = receiver.finish().await {
                debug!(%error, "a pooled session ended badly");
            }
        }));
    }

    /// Cuts: there is nothing on it worth an orderly end.
    fn abandon(&self, session: Session<M>) {
        let (_sender, receiver) = session.split();
        self.leaving.push(Box::pin(receiver.cancel()));
    }
}

impl<M: Machine> Future for Keeper<M> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.inner.park_keeper(cx.waker());
        loop {
            let wake_at = this.look(cx, now());
            while let Poll::Ready(Some(())) = this.leaving.poll_next_unpin(cx) {}
            if this.leaving.is_empty() && this.inner.lock().closed {
                return Poll::Ready(());
            }
            let Some(at) = wake_at.map(tokio::time::Instant::from_std) else {
                this.sleep = None;
                return Poll::Pending;
            };
            if at <= tokio::time::Instant::now() {
                continue;
            }
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            sleep.as_mut().reset(at);
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// Reads what a session said since the last look.
fn fate<M: Machine>(cx: &mut Context<'_>, session: &mut Session<M>, awaited: fn(&M::Event) -> bool) -> Fate {
    let mut fate = Fate::Unchanged;
    let (_, receiver) = session.halves();
    loop {
        match receiver.poll_next_unpin(cx) {
            Poll::Pending => return fate,
            Poll::Ready(Some(Ok(SessionEvent::Protocol(event)))) if awaited(&event) => fate = Fate::Spoke,
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => return Fate::Dead(Some(error)),
            Poll::Ready(None) => return Fate::Dead(None),
        }
    }
}

fn never<E>(_: &E) -> bool {
    false
}

fn sooner(wake_at: &mut Option<Instant>, at: Instant) {
    *wake_at = Some(wake_at.map_or(at, |earlier| earlier.min(at)));
}

/// A connector that fails at once must not keep the keeper busy.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
