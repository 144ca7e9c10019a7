//! The room of one session, watched for its avatar by whoever reports from there and by asking Daily.

use std::fmt;
use std::future::pending;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, warn};
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
    /// Answers in a row that could not be read.
    unreadable: u32,
    joined: Option<Instant>,
    /// The avatar that was seen last, here or in a session before.
    seen: Option<String>,
}

type Asked = BoxFuture<'static, Result<Option<Vec<Present>>, DailyApiError>>;

impl RoomWatch {
    /// A watch of `room` from now on; `None` if it is no room of Daily's.
    ///
    /// `is_ours` says whether the room is of the domain that the configuration has a key for; `former` is the avatar of
    /// the session before, for Daily's answers may be older than its end.
    pub(super) fn new(
        rest: &Rest,
        config: &AvatarConfig,
        room: &RoomAccess,
        is_ours: bool,
        former: Option<String>,
    ) -> Option<Self> {
        if room.platform != RoomPlatform::Daily {
            return None;
        }
        let (url, _) = RoomUrl::parse(&room.url).ok()?;
        let avatar = AvatarIdentity::named(&room.display_name);
        let mut watched = RoomMonitorConfig::new(url.name(), avatar);
        watched.former.clone_from(&former);
        let is_asked = is_ours && rest.has_daily();
        watched.join_limit = config.join_limit;
        if is_asked {
            watched.join_limit = watched.join_limit.saturating_add(DailyApi::PRESENCE_INTERVAL * 2);
        }
        let monitor = RoomMonitor::new(watched, now());
        let due = is_asked.then(now);
        Some(Self {
            rest: rest.clone(),
            room: url,
            monitor,
            due,
            asked: None,
            unreadable: 0,
            joined: None,
            seen: former,
        })
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
        let is_unreadable = answer.as_ref().is_err_and(DailyApiError::is_malformed);
        self.unreadable = if is_unreadable { self.unreadable + 1 } else { 0 };
        match answer {
            Ok(Some(present)) => self.monitor.handle_presence(now(), &present),
            Ok(None) => {}
            Err(error) if error.is_retryable() && self.unreadable < MAX_UNREADABLE => {
                debug!(%error, "Daily did not say who is in the room");
            }
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
            self.seen = self.monitor.avatar().map(str::to_owned).or_else(|| self.seen.take());
        }
        Some(verdict)
    }

    /// Whether the avatar came, and not just to leave again.
    pub(super) fn has_stayed(&self) -> bool {
        self.joined.is_some_and(|joined| now().saturating_duration_since(joined) >= STAY)
    }

    /// The avatar that was seen last, here or in a session before.
    pub(super) fn seen(&self) -> Option<&str> {
        self.seen.as_deref()
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

/// Answers in a row that cannot be read before the one who gives them is taken for somebody else.
const MAX_UNREADABLE: u32 = 4;
/// How long an avatar must have been there for its absence to be a new one.
const STAY: Duration = Duration::from_secs(60);
/// How long it may take to put an avatar out of its room.
const CLEAR_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;
    use voxline_protocol::Secret;
    use voxline_protocol::agenthuman::{AvatarApi, CreateSession};
    use voxline_transport::memory::Network;

    use super::*;

    fn watch() -> RoomWatch {
        let secret = |text| Secret::new(text).unwrap();
        let room = RoomAccess::daily("https://mine.daily.co/demo", secret("token"));
        let create = CreateSession::revision_b("avat_1", room.clone());
        let config = AvatarConfig::new(create).with_daily(DailyApi::new(secret("key")));
        let rest = Rest::new(Network::new(1), AvatarApi::new(secret("ah_test_1")), &config).unwrap();
        RoomWatch::new(&rest, &config, &room, true, None).unwrap()
    }

    fn answer(body: &'static str) -> Result<Option<Vec<Present>>, DailyApiError> {
        DailyApi::read_presence(&Response::new(Bytes::from_static(body.as_bytes()))).map(Some)
    }

    #[tokio::test(start_paused = true)]
    async fn pages_of_a_proxy_end_the_watch_only_when_nothing_else_comes() {
        let mut watch = watch();
        for _ in 0..5 {
            for _ in 1..MAX_UNREADABLE {
                watch.on_answer(answer("<html>"));
            }
            watch.on_answer(answer(r#"{"data":[]}"#));
        }
        assert!(watch.due.is_some(), "a readable answer between");
        assert_eq!(watch.poll_verdict(), None);
        for _ in 0..MAX_UNREADABLE {
            assert!(watch.due.is_some());
            watch.on_answer(answer("<html>"));
        }
        assert_eq!((watch.due, watch.poll_verdict()), (None, Some(RoomVerdict::Blind)));
    }
}
