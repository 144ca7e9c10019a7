//! What a pool is told: how many sessions, for how long, and how each proves that it lives.

use std::time::Duration;

use voxline_protocol::Machine;

use crate::SessionConfig;

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
