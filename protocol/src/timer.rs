//! The timer table: one deadline for each kind of wait a machine has.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

/// The waits of one machine, as a fieldless enum. Each variant's doc says when it fires and what follows.
pub trait TimerKind: Copy + 'static {
    /// Every kind, in the order in which kinds due at the same instant fire.
    const ALL: &'static [Self];

    /// The place of this kind in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// At most one deadline for each kind.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_protocol::{TimerKind, Timers};
///
/// #[derive(Clone, Copy, PartialEq, Debug)]
/// enum Timer { Ready, Keepalive }
/// impl TimerKind for Timer {
///     const ALL: &'static [Self] = &[Self::Ready, Self::Keepalive];
///     fn index(self) -> usize { self as usize }
/// }
///
/// let now = Instant::now();
/// let mut timers = Timers::new();
/// timers.after(Timer::Ready, now, Duration::from_secs(5));
/// timers.after(Timer::Keepalive, now, Duration::from_secs(1));
/// assert_eq!(timers.next(), Some(now + Duration::from_secs(1)));
/// assert_eq!(timers.expired(now + Duration::from_secs(2)), Some(Timer::Keepalive));
/// assert_eq!(timers.expired(now + Duration::from_secs(2)), None);
/// timers.stop(Timer::Ready);
/// assert_eq!(timers.next(), None);
/// ```
#[derive(Debug, Clone)]
pub struct Timers<T> {
    deadlines: Vec<Option<Instant>>,
    kinds: PhantomData<T>,
}

impl<T: TimerKind> Timers<T> {
    /// A table with every timer stopped.
    #[must_use]
    pub fn new() -> Self {
        Self { deadlines: vec![None; T::ALL.len()], kinds: PhantomData }
    }

    /// Arms `timer` to fire once `wait` is over, replacing its deadline. A wait that ends beyond all time never
    /// ends, so that `Duration::MAX` stands for no limit.
    pub fn after(&mut self, timer: T, now: Instant, wait: Duration) {
        self.deadlines[timer.index()] = now.checked_add(wait);
    }

    /// Arms `timer`, replacing its deadline.
    pub fn set(&mut self, timer: T, at: Instant) {
        self.deadlines[timer.index()] = Some(at);
    }

    /// Disarms `timer`.
    pub fn stop(&mut self, timer: T) {
        self.deadlines[timer.index()] = None;
    }

    /// Disarms every timer.
    pub fn stop_all(&mut self) {
        self.deadlines.fill(None);
    }

    /// Takes the earliest timer that is due by `now`, and disarms it.
    pub fn expired(&mut self, now: Instant) -> Option<T> {
        let due = |timer: &T| self.deadlines[timer.index()].filter(|at| *at <= now);
        let timer = T::ALL.iter().copied().filter(|timer| due(timer).is_some()).min_by_key(due)?;
        self.stop(timer);
        Some(timer)
    }

    /// When `timer` fires, if it is armed.
    #[must_use]
    pub fn get(&self, timer: T) -> Option<Instant> {
        self.deadlines[timer.index()]
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }
}

impl<T: TimerKind> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}
