//! What an avatar is configured with, and what it tells.

use std::time::Duration;

use voxline_protocol::agenthuman::{
    AvatarApi, AvatarEvent, CreateSession, InputRate, Recovery, SessionState, VideoSize,
};
use voxline_protocol::daily::{DailyApi, RoomVerdict};
use voxline_protocol::{BaseUrl, CommandError, UtteranceId};

use super::Journal;
use crate::RetryPolicy;

/// How an [`Avatar`](super::Avatar) lives.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct AvatarConfig {
    /// What each session is created with, and so which revision of the service is spoken.
    pub create: CreateSession,
    /// The picture (revision A). The service's own by default.
    pub video: VideoSize,
    /// The rate of the speech handed over. 16 kHz by default.
    pub rate: InputRate,
    /// The most speech held unsent, 2 minutes by default; more is refused, never dropped silently.
    pub max_unsent: Duration,
    /// How long the conversation may last, 10 minutes by default: the room's token must last as long.
    pub planned: Duration,
    /// Where the socket is in revision B; in A the service says it for each session.
    pub socket_url: BaseUrl,
    /// How a lost link or session is brought back: 6 attempts by default without confirmed speech between. Without
    /// a limit, a service that takes sessions and refuses speech is paid for ever.
    pub retry: RetryPolicy,
    /// How long the socket may take to close, 3 s by default; the session is ended after that in any case.
    pub close_limit: Duration,
    /// Whether the room is watched for the avatar. Off by default: without anybody who reports from the room, each
    /// avatar looks late.
    pub watch_room: bool,
    /// How long the avatar may take to come into the room, or to come back, 20 s by default. Where Daily alone is
    /// asked, half a minute is added, for its answers may be as old.
    pub join_limit: Duration,
    /// How often an avatar that stays out of its room is replaced by a new session before the end, 2 by default. An
    /// avatar that was there for a minute clears the count.
    pub room_retries: u32,
    /// Whom to ask who is in a room of your own (revision B). `None` by default.
    pub daily: Option<DailyApi>,
    /// Where open sessions are noted. `None` by default: then a killed process leaves its session to its expiry.
    pub journal: Option<Journal>,
}

impl AvatarConfig {
    /// The defaults for sessions like this one.
    #[must_use]
    pub fn new(create: CreateSession) -> Self {
        Self {
            create,
            video: VideoSize::default(),
            rate: InputRate::default(),
            max_unsent: Duration::from_secs(120),
            planned: Duration::from_secs(600),
            socket_url: AvatarApi::socket_url(),
            retry: RetryPolicy::default().with_max_attempts(6),
            close_limit: Duration::from_secs(3),
            watch_room: false,
            join_limit: Duration::from_secs(20),
            room_retries: 2,
            daily: None,
            journal: None,
        }
    }

    /// The same with speech at `rate`.
    #[must_use]
    pub fn with_rate(self, rate: InputRate) -> Self {
        Self { rate, ..self }
    }

    /// The same with another picture.
    #[must_use]
    pub fn with_video(self, video: VideoSize) -> Self {
        Self { video, ..self }
    }

    /// The same with room for this much unsent speech.
    #[must_use]
    pub fn with_max_unsent(self, max_unsent: Duration) -> Self {
        Self { max_unsent, ..self }
    }

    /// The same with another address for revision B's socket.
    #[must_use]
    pub fn with_socket_url(self, socket_url: BaseUrl) -> Self {
        Self { socket_url, ..self }
    }

    /// The same with other retries.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// The same with somebody in the room who reports by [`room_event`](super::Avatar::room_event).
    #[must_use]
    pub fn with_room_watch(self) -> Self {
        Self { watch_room: true, ..self }
    }

    /// The same with a room of your own watched by asking Daily every 15 seconds who is there. When a session is
    /// over, its avatar is put out of the room, should it still be there.
    #[must_use]
    pub fn with_daily(self, daily: DailyApi) -> Self {
        Self { watch_room: true, daily: Some(daily), ..self }
    }

    /// The same with a journal.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }
}

/// What an avatar tells.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum AvatarNotice {
    /// A session exists.
    Created {
        /// Its id.
        session_id: String,
    },
    /// A session is over, and costs nothing more.
    Ended {
        /// Its id.
        session_id: String,
    },
    /// A session that a killed process had left open is over.
    LeftoverEnded {
        /// Its id.
        session_id: String,
    },
    /// The socket's own event.
    Protocol(AvatarEvent),
    /// The link is gone; it or the session is being brought back. Speech goes on being taken.
    Recovering {
        /// What is tried first. A session that turns out to be over is told once more, with its replacement.
        recovery: Recovery,
    },
    /// Speech was not taken, for want of room or because its utterance is over: it is never said. An utterance of
    /// which something was taken before goes on; any other gets no account.
    Refused {
        /// Whose speech it was.
        utterance: UtteranceId,
        /// Why.
        reason: CommandError,
    },
    /// What the room's watcher makes of what it was told.
    Room(RoomVerdict),
    /// Where the session is in its life. At [`SessionState::Closing`], whoever is in the room for us should leave it.
    State(SessionState),
}
