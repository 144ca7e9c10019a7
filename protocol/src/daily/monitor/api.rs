//! Whom a monitor looks for, how patiently, and what it tells.

use std::time::Duration;

use crate::Code;
use crate::daily::RoomError;

/// How to tell the avatar from everybody else.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvatarIdentity {
    /// Its stable id, if its token carries one.
    pub user_id: Option<String>,
    /// The display name it was given.
    pub display_name: String,
}

impl AvatarIdentity {
    /// By its display name.
    pub fn named(display_name: impl Into<String>) -> Self {
        Self { user_id: None, display_name: display_name.into() }
    }

    pub(super) fn matches(&self, user_id: Option<&str>, user_name: Option<&str>) -> bool {
        let same_id = self.user_id.is_some() && user_id == self.user_id.as_deref();
        same_id || user_name == Some(self.display_name.as_str())
    }
}

/// How patient a [`RoomMonitor`](super::RoomMonitor) is.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct RoomMonitorConfig {
    /// Who the avatar is.
    pub avatar: AvatarIdentity,
    /// The session of an avatar that was there before this one, which reports may still name. `None` by default.
    pub former: Option<String>,
    /// The room's name; webhooks of other rooms are not ours.
    pub room: String,
    /// How long the avatar may take to join, or to come back after it left. Default 20 s.
    pub join_limit: Duration,
    /// How long picture and sound may take after it joined. Default 10 s.
    pub media_limit: Duration,
    /// How long trouble may last before it is told. Default 2 s.
    pub degraded_limit: Duration,
}

impl RoomMonitorConfig {
    /// The defaults.
    pub fn new(room: impl Into<String>, avatar: AvatarIdentity) -> Self {
        Self {
            avatar,
            former: None,
            room: room.into(),
            join_limit: Duration::from_secs(20),
            media_limit: Duration::from_secs(10),
            degraded_limit: Duration::from_secs(2),
        }
    }
}

/// Where the avatar is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomState {
    /// Not there yet.
    Absent,
    /// There; picture or sound are missing.
    Joined,
    /// It was there.
    Lost,
    /// There, with picture and sound.
    MediaReady,
}

/// What the application should know.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomVerdict {
    /// It is in the room.
    AvatarJoined {
        /// How long it took, from the start or from its last leaving.
        after: Duration,
    },
    /// It has not come in time, or not come back. It may still come.
    AvatarLate {
        /// How long that was.
        limit: Duration,
    },
    /// It has left, and the session was not ended by us.
    AvatarLost,
    /// Nobody reports from inside the room any more.
    Blind,
    /// Picture or network have been in trouble for a while.
    Degraded,
    /// Picture and sound are there.
    MediaReady,
    /// It is there, but this is missing.
    NoMedia {
        /// No picture.
        video: bool,
        /// No sound.
        audio: bool,
    },
    /// The trouble is over.
    Recovered,
    /// The room failed.
    RoomFailed(RoomError),
}

impl RoomVerdict {
    /// The stable name of what is wrong; `None` for good news.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        Some(Code::new(match self {
            Self::AvatarJoined { .. } | Self::MediaReady | Self::Recovered => return None,
            Self::AvatarLate { .. } => "daily/avatar-late",
            Self::AvatarLost => "daily/avatar-lost",
            Self::Blind | Self::RoomFailed(_) => "daily/room-failed",
            Self::Degraded => "daily/quality",
            Self::NoMedia { .. } => "daily/no-media",
        }))
    }
}
