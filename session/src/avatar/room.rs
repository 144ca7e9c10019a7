//! The room of one session, watched for its avatar by whoever reports from there and by asking Daily.

use std::fmt;
use std::future::pending;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::time::{sleep_until, timeout};
use tracing::warn;
use voxline_protocol::agenthuman::{RoomAccess, RoomPlatform};
use voxline_protocol::daily::{
    AvatarIdentity, DailyApi, DailyApiError, Present, RoomEvent, RoomMonitor, RoomMonitorConfig, RoomUrl,
    RoomVerdict,
};

use super::AvatarConfig;
use super::rest::Rest;
use crate::driver::now;

/// Watches one room until its session is over.
pub(super) struct RoomWatch {
    rest: Rest,
    room: RoomUrl,
    monitor: RoomMonitor,
    /// Whether Daily is asked, and when next.
    due: Option<Instant>,
    /// The question under way.
    asked: Option<Asked>,
    joined: Option<Instant>,
}

type Asked = BoxFuture<'static, Result<Option<Vec<Present>>, DailyApiError>>;

impl RoomWatch {
    /// A watch of `room` from now on; `None` if it is no room of Daily's.
    ///
    /// `is_ours` says whether the room is of the domain that the configuration has a key for.
    pub(super) fn new(rest: &Rest, config: &AvatarConfig, room: &RoomAccess, is_ours: bool) -> Option<Self> {
        if room.platform != RoomPlatform::Daily {
            return None;
        }
        let (url, _) = RoomUrl::parse(&room.url).ok()?;
        let avatar = AvatarIdentity::named(&room.display_name);
        let mut watched = RoomMonitorConfig::new(url.name(), avatar);
        let is_asked = is_ours && rest.has_daily();
        watched.join_limit = config.join_limit;
        if is_asked {
            watched.join_limit += DailyApi::PRESENCE_INTERVAL * 2;
        }
        let monitor = RoomMonitor::new(watched, now());
        let due = is_asked.then(now);
        Some(Self { rest: rest.clone(), room: url, monitor, due, asked: None, joined: None })
    }

    /// Waits for the next answer or deadline and takes it; verdicts may follow. Cancel-safe.
    pub(super) async fn step(&mut self) {
        let wake = self.monitor.poll_timeout();
        tokio::select! {
            answer = answer(&self.rest, &self.room, &mut self.asked, self.due) => {
                self.asked = None;
                self.on_answer(answer);
            }
            () = sleep_to(wake) => self.monitor.handle_timeout(now()),
        }
    }

    fn on_answer(&mut self, answer: Result<Option<Vec<Present>>, DailyApiError>) {
        self.due = Some(now() + DailyApi::PRESENCE_INTERVAL);
        match answer {
            Ok(Some(present)) => self.monitor.handle_presence(now(), &present),
            Ok(None) => {}
            Err(error) => {
                warn!(%error, "Daily does not tell who is in the room, and is not asked again");
                self.due = None;
                self.monitor.presence_ended(now());
            }
        }
    }

    pub(super) fn on_event(&mut self, event: &RoomEvent) {
        self.monitor.handle_event(now(), event);
    }

    pub(super) fn on_presence(&mut self, present: &[Present]) {
        self.monitor.handle_presence(now(), present);
    }

    pub(super) fn poll_verdict(&mut self) -> Option<RoomVerdict> {
        let verdict = self.monitor.poll_verdict()?;
        if let RoomVerdict::AvatarJoined { .. } = verdict {
            self.joined = Some(now());
        }
        Some(verdict)
    }

    /// Whether the avatar came, and not just to leave again.
    pub(super) fn has_stayed(&self) -> bool {
        self.joined.is_some_and(|joined| now().saturating_duration_since(joined) >= STAY)
    }

    /// The session is being ended: who leaves from here on was meant to.
    pub(super) fn expect_end(&mut self) {
        self.monitor.expect_end();
    }

    /// Puts the avatar out of the room, if it is known to be there and the room is ours.
    pub(super) async fn clear(self) {
        if let (Some(_), Some(avatar)) = (self.due, self.monitor.avatar()) {
            // What hangs here must not keep the session from being ended.
            let _ = timeout(CLEAR_LIMIT, self.rest.eject(&self.room, avatar)).await;
        }
    }
}

impl fmt::Debug for RoomWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomWatch").field("room", &self.room).field("due", &self.due).finish_non_exhaustive()
    }
}

/// Daily's next answer, asked for once it is due. Cancel-safe: the question stays where it is.
async fn answer(
    rest: &Rest,
    room: &RoomUrl,
    asked: &mut Option<Asked>,
    due: Option<Instant>,
) -> Result<Option<Vec<Present>>, DailyApiError> {
    let Some(due) = due else { return pending().await };
    let question = asked.get_or_insert_with(|| {
        let (rest, room) = (rest.clone(), room.clone());
        Box::pin(async move {
            sleep_until(due.into()).await;
            rest.presence(&room).await
        })
    });
    question.await
}

async fn sleep_to(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// How long an avatar must have been there for its absence to be a new one.
const STAY: Duration = Duration::from_secs(60);
/// How long it may take to put an avatar out of its room.
const CLEAR_LIMIT: Duration = Duration::from_secs(5);
