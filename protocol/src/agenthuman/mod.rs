//! AgentHuman: speech goes in over a WebSocket, a talking head appears in a WebRTC room.
//!
//! The socket carries three messages one way (`session.init`, `agent.speak`, `agent.interrupt`) and
//! short confirmations the other way. Sound and picture come out in the room only; what can be
//! known about them is in [`daily`](crate::daily).
//!
//! [`AvatarClient`] is our side, [`AvatarServer`] the vendor's. Two revisions of the service are in
//! use and both are spoken, see [`Revision`].

mod audio;
mod chunker;
mod client;
mod codes;
mod errors;
mod lifecycle;
mod playback;
mod preflight;
mod quirks;
mod rest;
mod room;
mod server;
mod session;
mod speech;
mod video;
mod wire;

use std::fmt;

pub use audio::{InputRate, PcmSpec, check_speech};
pub use chunker::{ChunkSizes, Chunker};
pub use client::{
    AvatarClient, AvatarClientConfig, AvatarCommand, AvatarEvent, Heard, InterruptOutcome, LinkEnd,
};
pub(crate) use codes::CODES;
pub use errors::{Recovery, Refusal, VendorError};
pub use lifecycle::{IllegalMove, SessionState};
pub use preflight::{Preflight, PreflightFinding, RoomPlan};
pub use quirks::AvatarQuirk;
pub use rest::{
    ApiError, AvatarApi, AvatarCall, AvatarDesk, AvatarDeskConfig, CallAnswer, CallStep, CreateSession,
    SessionInfo,
};
pub use room::{RoomAccess, RoomPlatform};
pub use server::{
    AvatarServer, AvatarServerCommand, AvatarServerConfig, AvatarServerEvent, HostedSession, HostedStatus,
};
pub use session::{AvatarSession, SessionSecret};
pub use speech::{ChunkReceipt, SpeechEnd, SpeechReport};
pub use video::{AspectRatio, VideoSize};

/// Which revision of the service's documents a session follows.
///
/// A third and older one, with WebRTC on the socket itself, is recognised and refused
/// (`agenthuman/revision-0`).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revision {
    /// The room is the vendor's; a start call returns the socket's address; the size is in pixels.
    A,
    /// The room is yours; creating starts the session; the socket's address is fixed; the shape is
    /// a named ratio.
    B,
}

impl Revision {
    /// The largest message the service takes, in bytes: 100 MB in revision A, 10 MB in B.
    #[must_use]
    pub const fn max_message_bytes(self) -> usize {
        match self {
            Self::A => 100_000_000,
            Self::B => 10_000_000,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "revision A",
            Self::B => "revision B",
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
