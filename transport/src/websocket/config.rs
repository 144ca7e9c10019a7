//! The settings of a WebSocket, with what goes wrong at both ends of each.

use std::time::Duration;

use crate::ConnectStage;

/// How links are opened, watched and bounded.
///
/// ```
/// use std::time::Duration;
/// use voxline_transport::WebSocketConfig;
///
/// let config = WebSocketConfig::new().with_ping_interval(Some(Duration::from_secs(20)));
/// assert_eq!(config.ping_misses, 4);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketConfig {
    /// The one limit over everything until the first message can be sent: name lookup, TCP, proxy,
    /// TLS and upgrade together; for a server, TLS and the request. 5 s. Too short fails on a
    /// loaded server, too long keeps a caller in silence.
    pub connect_timeout: Duration,
    /// Tighter limits on single steps of connecting. None is set.
    pub stage_timeouts: StageTimeouts,
    /// The largest message in either direction, in bytes. 1 MiB. Voice messages are a few KiB; a
    /// larger limit lets a peer claim that much memory on each link.
    pub max_message_size: usize,
    /// How long the peer may take to answer our close, and to read what stands before it. 5 s. The link then ends
    /// as if it had answered; too short and what was sent last may not arrive.
    pub close_timeout: Duration,
    /// How often to ping. Off, as is zero. Too rare and a dead link is noticed late (within two intervals);
    /// too frequent wakes idle links for nothing. Some vendors do not allow pings at all.
    pub ping_interval: Option<Duration>,
    /// How many unanswered pings in a row mean that the peer is gone. 4, each waited for twice as long as
    /// the one before and all together no longer than the interval. Fewer are a false alarm on a path that
    /// loses packets; with many more the first waits are too short to be of use.
    pub ping_misses: u32,
    /// Bytes set aside for reading on each link. 4 KiB. A message may be larger; a far larger
    /// buffer multiplies by the number of calls.
    pub read_buffer_size: usize,
    /// Sends small messages at once instead of gathering them. On; off adds up to 40 ms to speech.
    pub no_delay: bool,
}

impl WebSocketConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            stage_timeouts: StageTimeouts::none(),
            max_message_size: 1 << 20,
            close_timeout: Duration::from_secs(5),
            ping_interval: None,
            ping_misses: 4,
            read_buffer_size: 4 << 10,
            no_delay: true,
        }
    }

    /// Sets [`Self::connect_timeout`].
    #[must_use]
    pub const fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets the limit on one step of connecting; see [`Self::stage_timeouts`].
    #[must_use]
    pub const fn with_stage_timeout(mut self, stage: ConnectStage, limit: Duration) -> Self {
        self.stage_timeouts = self.stage_timeouts.with(stage, limit);
        self
    }

    /// Sets [`Self::max_message_size`].
    #[must_use]
    pub const fn with_max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Sets [`Self::close_timeout`].
    #[must_use]
    pub const fn with_close_timeout(mut self, limit: Duration) -> Self {
        self.close_timeout = limit;
        self
    }

    /// Sets [`Self::ping_interval`].
    #[must_use]
    pub const fn with_ping_interval(mut self, interval: Option<Duration>) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Sets [`Self::ping_misses`]; nought counts as one.
    #[must_use]
    pub const fn with_ping_misses(mut self, misses: u32) -> Self {
        self.ping_misses = misses;
        self
    }

    /// Sets [`Self::read_buffer_size`].
    #[must_use]
    pub const fn with_read_buffer_size(mut self, bytes: usize) -> Self {
        self.read_buffer_size = bytes;
        self
    }

    /// Sets [`Self::no_delay`].
    #[must_use]
    pub const fn with_no_delay(mut self, no_delay: bool) -> Self {
        self.no_delay = no_delay;
        self
    }
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A limit for each step of connecting that has one.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimeouts {
    /// Looking the host name up.
    pub dns: Option<Duration>,
    /// Opening the TCP connection.
    pub tcp: Option<Duration>,
    /// Asking the proxy for a tunnel.
    pub proxy: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// The upgrade's request and the server's answer.
    pub upgrade: Option<Duration>,
    /// Another request and its whole answer.
    pub response: Option<Duration>,
}

impl StageTimeouts {
    const fn none() -> Self {
        Self { dns: None, tcp: None, proxy: None, tls: None, upgrade: None, response: None }
    }

    pub(crate) const fn with(mut self, stage: ConnectStage, limit: Duration) -> Self {
        match stage {
            ConnectStage::Dns => self.dns = Some(limit),
            ConnectStage::Tcp => self.tcp = Some(limit),
            ConnectStage::Proxy => self.proxy = Some(limit),
            ConnectStage::Tls => self.tls = Some(limit),
            ConnectStage::Upgrade => self.upgrade = Some(limit),
            ConnectStage::Response => self.response = Some(limit),
        }
        self
    }

    pub(crate) const fn of(&self, stage: ConnectStage) -> Option<Duration> {
        match stage {
            ConnectStage::Dns => self.dns,
            ConnectStage::Tcp => self.tcp,
            ConnectStage::Proxy => self.proxy,
            ConnectStage::Tls => self.tls,
            ConnectStage::Upgrade => self.upgrade,
            ConnectStage::Response => self.response,
        }
    }
}
