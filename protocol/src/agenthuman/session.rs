//! What a link needs to know of the session it initialises.

use std::time::Instant;

use super::{Revision, RoomAccess, VideoSize};
use crate::Secret;

/// One session as the create call returned it: what `session.init` says, and until when it holds.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_protocol::agenthuman::{AvatarSession, Revision, RoomAccess, VideoSize};
///
/// let room = RoomAccess::daily("https://agenthuman.daily.co/demo-room", Secret::new("meeting-token")?);
/// let a = AvatarSession::revision_a("sess_1", Secret::new("access")?, room, VideoSize::default());
/// let b = AvatarSession::revision_b("sess_2", Secret::new("token")?);
/// assert_eq!((a.revision(), b.revision()), (Revision::A, Revision::B));
/// # Ok::<(), voxline_protocol::SecretError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvatarSession {
    /// The id from the create call.
    pub session_id: String,
    /// What proves that the session is ours, and what else its revision asks for.
    pub secret: SessionSecret,
    /// When the session ends by itself. Default none: unlimited. The machine stops using the
    /// session at this instant rather than let the service refuse it.
    pub expires_at: Option<Instant>,
}

/// The secret of a session, in the shape its revision uses.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionSecret {
    /// Revision A: room and picture are part of `session.init`.
    A {
        /// `access_token` from the create call.
        access_token: Secret,
        /// The room the avatar joins.
        room: RoomAccess,
        /// The picture.
        video: VideoSize,
    },
    /// Revision B: the server looks everything else up.
    B {
        /// `session_token` from the create call.
        session_token: Secret,
    },
}

impl AvatarSession {
    /// A session of revision A.
    pub fn revision_a(
        session_id: impl Into<String>,
        access_token: Secret,
        room: RoomAccess,
        video: VideoSize,
    ) -> Self {
        let secret = SessionSecret::A { access_token, room, video };
        Self { session_id: session_id.into(), secret, expires_at: None }
    }

    /// A session of revision B.
    pub fn revision_b(session_id: impl Into<String>, session_token: Secret) -> Self {
        Self { session_id: session_id.into(), secret: SessionSecret::B { session_token }, expires_at: None }
    }

    /// The same session, known to end at `at`.
    #[must_use]
    pub fn with_expiry(self, at: Instant) -> Self {
        Self { expires_at: Some(at), ..self }
    }

    /// Which revision it follows.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        match self.secret {
            SessionSecret::A { .. } => Revision::A,
            SessionSecret::B { .. } => Revision::B,
        }
    }
}
