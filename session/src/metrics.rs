//! What a session has done so far, as plain numbers.

use std::time::{Duration, Instant};

/// A snapshot of one session. Counters only grow.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Messages given to links, close frames left out.
    pub messages_sent: u64,
    /// Payload bytes of those messages.
    pub bytes_sent: u64,
    /// Messages taken from links, close frames left out.
    pub messages_received: u64,
    /// Payload bytes of those messages.
    pub bytes_received: u64,
    /// When the last message arrived.
    pub last_received: Option<Instant>,
    /// Links the session has had.
    pub links: u32,
    /// Whether one is up.
    pub link_up: bool,
    /// How long the last successful dial took; `None` for links that were accepted.
    pub last_connect: Option<Duration>,
    /// Dials made, failed ones too.
    pub dials: u32,
    /// Barge-ins: how often the epoch was raised.
    pub interrupts: u64,
    /// Commands a barge-in made worthless before the machine saw them.
    pub commands_dropped: u64,
    /// Perishable events a barge-in kept from the application.
    pub events_dropped: u64,
    /// Commands waiting for the driver.
    pub commands_queued: usize,
    /// Events waiting for the application.
    pub events_queued: usize,
    /// Whether the session is over.
    pub ended: bool,
}

impl Metrics {
    /// Links after the first.
    #[must_use]
    pub const fn reconnects(&self) -> u32 {
        self.links.saturating_sub(1)
    }
}
