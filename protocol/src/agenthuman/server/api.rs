//! What a simulated service is configured with, asked, and tells.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::CloseFrame;
use crate::agenthuman::{AvatarQuirk, Revision, RoomAccess, VendorError};

/// How an [`AvatarServer`](super::AvatarServer) behaves.
#[non_exhaustive]
#[derive(Debug, Clone, Default)]
pub struct AvatarServerConfig {
    /// The sessions it knows at first; more come with [`AvatarServerCommand::Host`].
    pub sessions: Vec<HostedSession>,
    /// What it does that the documents do not say. Default nothing.
    pub quirks: Vec<AvatarQuirk>,
    /// How long a confirmation takes. Default no time at all; with `Duration::MAX` none comes.
    pub confirm_delay: Duration,
}

impl AvatarServerConfig {
    /// A server that knows these sessions.
    #[must_use]
    pub fn new(sessions: Vec<HostedSession>) -> Self {
        Self { sessions, ..Self::default() }
    }

    /// The same with one more quirk.
    #[must_use]
    pub fn with_quirk(mut self, quirk: AvatarQuirk) -> Self {
        self.quirks.push(quirk);
        self
    }
}

/// One session as a server holds it. `Debug` does not show its secret.
#[non_exhaustive]
#[derive(Clone)]
pub struct HostedSession {
    /// Its id.
    pub session_id: String,
    /// `access_token` or `session_token`.
    pub secret: String,
    /// Which revision created it.
    pub revision: Revision,
    /// Where it is in its life.
    pub status: HostedStatus,
    /// Whether this server, not another one, was assigned to it. Default true.
    pub is_assigned_here: bool,
    /// When it ends by itself. Default never.
    pub expires_at: Option<Instant>,
}

impl HostedSession {
    /// A started session, assigned to this server, that never expires.
    pub fn new(session_id: impl Into<String>, secret: impl Into<String>, revision: Revision) -> Self {
        Self {
            session_id: session_id.into(),
            secret: secret.into(),
            revision,
            status: HostedStatus::Started,
            is_assigned_here: true,
            expires_at: None,
        }
    }
}

impl fmt::Debug for HostedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostedSession")
            .field("session_id", &self.session_id)
            .field("revision", &self.revision)
            .field("status", &self.status)
            .field("is_assigned_here", &self.is_assigned_here)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Where a session is in its life, by the vendor's words.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostedStatus {
    /// It exists; no server is assigned.
    Created,
    /// A server runs, and minutes are spent.
    Started,
    /// It is over for good.
    Ended,
}

/// What the test or the simulator may ask.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum AvatarServerCommand {
    /// Close the link.
    Close(CloseFrame),
    /// Learn a session, or its new state.
    Host(Box<HostedSession>),
    /// Send this text as it is.
    Send(String),
}

/// What the simulator is told.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum AvatarServerEvent {
    /// A client closed its link, or lost it.
    Disconnected {
        /// The session it used, if it got that far.
        session_id: Option<String>,
        /// Whether the session ended with it (see [`AvatarQuirk::EndOnDisconnect`]).
        ends_session: bool,
    },
    /// The service refused something.
    Error(VendorError),
    /// A session was initialised on this link.
    Established {
        /// Which one.
        session_id: String,
        /// In which revision's shape.
        revision: Revision,
        /// The room it named (revision A).
        room: Option<Box<RoomAccess>>,
    },
    /// The avatar was interrupted.
    Interrupted {
        /// Speech at 16 kHz that was thrown away, as time.
        dropped: Duration,
    },
    /// The session reached its expiry.
    SessionExpired {
        /// Which one.
        session_id: String,
    },
    /// Speech arrived.
    Speech {
        /// Raw 16-bit little-endian mono samples, as they came.
        audio: Bytes,
        /// The rate that was declared, or 16,000.
        rate_hz: u32,
        /// When the avatar begins to say it.
        plays_from: Instant,
        /// When it has said it.
        plays_until: Instant,
        /// Whether its length is within the advice of 1 to 30 seconds.
        is_advised_length: bool,
    },
}
