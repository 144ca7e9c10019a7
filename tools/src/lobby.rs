//! The lobby: hands avatar sessions to a backend for its browsers, and ends those that nobody keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use voxline_protocol::agenthuman::{AvatarApi, SessionSecret};
use voxline_protocol::{Code, Secret};
use voxline_session::{AvatarConfig, AvatarError, AvatarSeat};
use voxline_transport::Requester;

/// Answers `/avatar/session` for whoever bears its token: your own backend, which passes the answer on to one browser.
///
/// | request | does |
/// | --- | --- |
/// | `GET /avatar/session` | creates and starts a session; the answer is what a browser dials and joins with |
/// | `POST /avatar/session/ID` | keeps it for another minute |
/// | `DELETE /avatar/session/ID` | ends it |
///
/// A session that is not kept is ended, so a browser that never comes, or goes without a word, costs a minute. The API
/// key is in no answer.
///
/// ```
/// use voxline::lobby::{Lobby, LobbyLimits};
/// use voxline_protocol::Secret;
/// use voxline_protocol::agenthuman::{AvatarApi, CreateSession};
/// use voxline_session::AvatarConfig;
/// use voxline_transport::HttpClient;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let api = AvatarApi::new(Secret::new("ah_test_1")?);
/// let config = AvatarConfig::new(CreateSession::revision_a("avat_1"));
/// let bearer = Secret::new("a-long-random-token")?;
/// let lobby = Lobby::new(HttpClient::new(), api, config, bearer, LobbyLimits::default());
/// let request = http::Request::get("/avatar/session").body(bytes::Bytes::new())?;
/// assert_eq!(lobby.respond(&request).await.status(), 401);
/// # Ok(())
/// # }
/// ```
pub struct Lobby {
    bearer: Secret,
    take: Box<Take>,
    limits: LobbyLimits,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

type Take = dyn Fn() -> BoxFuture<'static, Result<AvatarSeat, AvatarError>> + Send + Sync;

/// How much a [`Lobby`] hands out.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LobbyLimits {
    /// Sessions open at once, 2 by default. Each costs money.
    pub sessions: NonZeroUsize,
    /// Sessions created a minute, 6 by default; more are refused even when those before are over.
    pub per_minute: u32,
    /// How long a session lives without being kept, 60 s by default.
    pub keep: Duration,
}

impl Default for LobbyLimits {
    fn default() -> Self {
        Self { sessions: NonZeroUsize::MIN.saturating_add(1), per_minute: 6, keep: Duration::from_secs(60) }
    }
}

impl LobbyLimits {
    /// As many sessions at once as this.
    #[must_use]
    pub fn with_sessions(self, sessions: NonZeroUsize) -> Self {
        Self { sessions, ..self }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Until when each session is kept.
    kept: BTreeMap<String, watch::Sender<Instant>>,
    /// What holds the sessions, and ends them.
    holders: JoinSet<()>,
    /// When the minute began in which so many were created.
    minute: Option<(Instant, u32)>,
}

impl Lobby {
    /// Where it is asked.
    pub const PATH: &'static str = "/avatar/session";

    /// A lobby for sessions made like `config`, behind `bearer`.
    pub fn new<R: Requester + Clone>(
        requester: R,
        api: AvatarApi,
        config: AvatarConfig,
        bearer: Secret,
        limits: LobbyLimits,
    ) -> Self {
        let take = move || -> BoxFuture<'static, _> {
            Box::pin(AvatarSeat::take(requester.clone(), api.clone(), config.clone()))
        };
        let places = Arc::new(Semaphore::new(limits.sessions.get().min(Semaphore::MAX_PERMITS)));
        Self { bearer, take: Box::new(take), limits, places, state: Mutex::default() }
    }

    /// Whether a path is this lobby's.
    #[must_use]
    pub fn is_asked(path: &str) -> bool {
        path.strip_prefix(Self::PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request.
    pub async fn respond(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        if !self.bearer.matches(given.trim()) {
            let mut response = refusal(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        let rest = request.uri().path().strip_prefix(Self::PATH).unwrap_or_default();
        match (request.method(), rest.trim_matches('/')) {
            (&Method::GET, "") => self.hand_out().await,
            (&Method::POST, id) if !id.is_empty() => self.keep(id),
            (&Method::DELETE, id) if !id.is_empty() => self.end(id).await,
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "GET it, or POST or DELETE one session"),
        }
    }

    /// Ends every session and waits for it, at most as long as a slow service takes.
    pub async fn close(&self) {
        self.places.close();
        let mut holders = {
            let mut state = self.lock();
            state.kept.clear();
            std::mem::take(&mut state.holders)
        };
        let all = async { while holders.join_next().await.is_some() {} };
        if timeout(LAST_CALLS, all).await.is_err() {
            tracing::warn!("not every avatar session could be ended in time");
        }
    }

    async fn hand_out(&self) -> Response<Bytes> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return busy("as many sessions are open as this server hands out", self.limits.keep);
        };
        if let Err(wait) = self.lock().admit(self.limits.per_minute) {
            return busy("too many sessions were asked for within a minute", wait);
        }
        match (self.take)().await {
            Ok(seat) => {
                let response = json_response(StatusCode::OK, &self.describe(&seat));
                self.lock().hold(seat, Instant::now() + self.limits.keep, place);
                response
            }
            Err(error) => {
                tracing::warn!(error = %crate::error::chain(&error), "no avatar session could be had");
                failure(error.code())
            }
        }
    }

    /// What a browser needs: the session's own secret and the way into the room, and nothing else.
    fn describe(&self, seat: &AvatarSeat) -> Value {
        let session = seat.session();
        let mut told = json!({
            "session_id": session.session_id,
            "url": seat.url(),
            "keep_s": self.limits.keep.as_secs(),
        });
        match &session.secret {
            SessionSecret::A { access_token, room, video } => {
                told["access_token"] = json!(access_token.expose());
                told["room"] = json!({
                    "platform": room.platform.as_str(),
                    "url": room.url,
                    "token": room.token.expose(),
                    "display_name": room.display_name,
                });
                told["video"] = json!({ "width": video.width(), "height": video.height() });
            }
            SessionSecret::B { session_token } => {
                told["session_token"] = json!(session_token.expose());
                // The token is the avatar's own: who owns the room makes one for the viewer.
                if let Some(room) = seat.room() {
                    told["room"] = json!({ "platform": room.platform.as_str(), "url": room.url });
                }
            }
            _ => {}
        }
        told
    }

    fn keep(&self, id: &str) -> Response<Bytes> {
        let until = Instant::now() + self.limits.keep;
        let is_kept = self.lock().kept.get(id).is_some_and(|kept| kept.send(until).is_ok());
        if is_kept {
            json_response(StatusCode::OK, &json!({ "keep_s": self.limits.keep.as_secs() }))
        } else {
            refusal(StatusCode::NOT_FOUND, "no such session, or it has ended")
        }
    }

    async fn end(&self, id: &str) -> Response<Bytes> {
        let Some(kept) = self.lock().kept.remove(id).filter(|kept| !kept.is_closed()) else {
            return refusal(StatusCode::NOT_FOUND, "no such session, or it has ended");
        };
        // Nobody to tell that it is kept no more: it is over already.
        let _ = kept.send(Instant::now());
        // Its holder has a limit of its own, and goes on if this takes longer.
        let _ = timeout(LAST_CALLS, kept.closed()).await;
        json_response(StatusCode::OK, &json!({ "session_id": id }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole entries: nothing is half done after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts one more within this minute, or says how long to wait.
    fn admit(&mut self, per_minute: u32) -> Result<(), Duration> {
        let now = Instant::now();
        let (begun, count) = match self.minute {
            Some((begun, count)) if now < begun + MINUTE => (begun, count),
            Some(_) | None => (now, 0),
        };
        if count >= per_minute {
            return Err(begun + MINUTE - now);
        }
        self.minute = Some((begun, count + 1));
        Ok(())
    }

    fn hold(&mut self, seat: AvatarSeat, until: Instant, place: OwnedSemaphorePermit) {
        while self.holders.try_join_next().is_some() {}
        self.kept.retain(|_, kept| !kept.is_closed());
        let (kept, told) = watch::channel(until);
        self.kept.insert(seat.session().session_id.clone(), kept);
        self.holders.spawn(hold(seat, told, place));
    }
}

impl fmt::Debug for Lobby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lobby")
            .field("limits", &self.limits)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Holds one session as long as it is kept, then ends it.
async fn hold(seat: AvatarSeat, mut kept: watch::Receiver<Instant>, place: OwnedSemaphorePermit) {
    loop {
        let until = *kept.borrow_and_update();
        tokio::select! {
            () = sleep_until(until) => break,
            changed = kept.changed() => if changed.is_err() {
                break;
            },
        }
    }
    if let Err(error) = seat.end().await {
        tracing::warn!(error = %crate::error::chain(&error), "an avatar session may go on costing money");
    }
    drop((kept, place));
}

fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refusal(status: StatusCode, message: &str) -> Response<Bytes> {
    json_response(status, &json!({ "error": { "message": message } }))
}

fn busy(message: &str, wait: Duration) -> Response<Bytes> {
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, message);
    response.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
    response
}

/// Whoever asks is told the code, and words that may be shown to a person.
fn failure(code: Code) -> Response<Bytes> {
    let plain = code.entry().map_or("The avatar is not available right now.", |entry| entry.plain);
    let error = json!({ "code": code.as_str(), "message": plain });
    json_response(StatusCode::BAD_GATEWAY, &json!({ "error": error }))
}

const MINUTE: Duration = Duration::from_secs(60);
/// How long the ends of all sessions may take together.
const LAST_CALLS: Duration = Duration::from_secs(10);
