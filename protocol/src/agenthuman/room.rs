//! The WebRTC room the avatar appears in, as the service wants it named.

use std::fmt;

use super::{Refusal, VendorError};
use crate::Secret;

/// Which kind of room.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RoomPlatform {
    /// Daily.co, the only one revision A knows.
    #[default]
    Daily,
    /// LiveKit, revision B only.
    LiveKit,
}

impl RoomPlatform {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::LiveKit => "livekit",
        }
    }

    /// Reads a name, as a configuration file gives it.
    ///
    /// # Errors
    /// Another name: `Invalid room platform`.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        [Self::Daily, Self::LiveKit].into_iter().find(|platform| platform.as_str() == name).ok_or_else(|| {
            Refusal::new(
                VendorError::InvalidRoomPlatform,
                format!("room platform `{name}`"),
                "set the platform to `daily`",
            )
        })
    }
}

impl fmt::Display for RoomPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the avatar gets into the room.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomAccess {
    /// Which kind of room.
    pub platform: RoomPlatform,
    /// Its address: `https://<domain>.daily.co/<room>`, or a LiveKit server.
    pub url: String,
    /// The token the avatar joins with.
    pub token: Secret,
    /// The name under which the avatar appears. Default [`RoomAccess::DEFAULT_NAME`]; the room
    /// monitor finds the avatar by it, so two avatars in one room need two names.
    pub display_name: String,
}

impl RoomAccess {
    /// The name the vendor's own documents give the avatar.
    pub const DEFAULT_NAME: &'static str = "AI Avatar (AH)";

    /// A Daily room.
    pub fn daily(url: impl Into<String>, token: Secret) -> Self {
        Self {
            platform: RoomPlatform::Daily,
            url: url.into(),
            token,
            display_name: Self::DEFAULT_NAME.to_owned(),
        }
    }

    /// A LiveKit room (revision B).
    pub fn livekit(url: impl Into<String>, token: Secret) -> Self {
        Self { platform: RoomPlatform::LiveKit, ..Self::daily(url, token) }
    }

    /// The same room under another name.
    #[must_use]
    pub fn with_display_name(self, display_name: impl Into<String>) -> Self {
        Self { display_name: display_name.into(), ..self }
    }
}
