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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
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
/// | `DELETE /avatar/session/ID` | ends it: 200 once it is over, 202 if that takes long, 502 if it fails |
///
/// A session that is not kept is ended, so a browser that never comes, or goes without a word, costs a minute. The API
/// key is in no answer. An end that fails is tried again for minutes, and the session keeps its place meanwhile.
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

/// Makes a session, unless it is given up.
type Take = dyn Fn(BoxFuture<'static, ()>) -> Taking + Send + Sync;
type Taking = BoxFuture<'static, Result<AvatarSeat, AvatarError>>;
/// Who is told how a session's end went.
type Teller = oneshot::Sender<Result<(), AvatarError>>;

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
    /// Whom to ask about each session.
    asks: BTreeMap<String, mpsc::Sender<Ask>>,
    /// What makes the sessions, holds them, and ends them.
    holders: JoinSet<()>,
    /// Dropped to have all of them end.
    closing: watch::Sender<()>,
    /// When the minute began in which so many were created.
    minute: Option<(Instant, u32)>,
}

/// What the holder of a session is asked. It drops what it is asked once it has begun to end it.
#[derive(Debug)]
enum Ask {
    End(Teller),
    Keep(oneshot::Sender<()>),
}

/// A session that is ready for whoever asked for one.
#[derive(Debug)]
struct Handed {
    id: String,
    told: Value,
    asks: mpsc::Sender<Ask>,
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
        let take = move |given_up| -> Taking {
            Box::pin(AvatarSeat::take_unless(requester.clone(), api.clone(), config.clone(), given_up))
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
            (&Method::POST, id) if !id.is_empty() => self.keep(id).await,
            (&Method::DELETE, id) if !id.is_empty() => self.end(id).await,
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "GET it, or POST or DELETE one session"),
        }
    }

    /// Ends every session, those being made included, and waits for it, at most as long as a slow service takes.
    pub async fn close(&self) {
        self.places.close();
        let State { mut holders, .. } = std::mem::take(&mut *self.lock());
        let all = async { while holders.join_next().await.is_some() {} };
        if timeout(LAST_CALLS, all).await.is_err() {
            tracing::warn!("not every avatar session could be ended in time");
        }
    }

    async fn hand_out(&self) -> Response<Bytes> {
        let handed = match self.begin() {
            Ok(handed) => handed,
            Err(response) => return *response,
        };
        // Only a lobby that is dropped has no answer.
        match handed.await.unwrap_or(Err(AvatarError::Ended)) {
            Ok(Handed { id, told, asks }) => {
                let mut state = self.lock();
                state.asks.retain(|_, asks| !asks.is_closed());
                state.asks.insert(id, asks);
                json_response(StatusCode::OK, &told)
            }
            Err(error) => {
                tracing::warn!(error = %crate::error::chain(&error), "no avatar session could be had");
                failure(error.code())
            }
        }
    }

    /// Begins to make a session, or says why not.
    fn begin(&self) -> Result<oneshot::Receiver<Result<Handed, AvatarError>>, Box<Response<Bytes>>> {
        let mut state = self.lock();
        // Under the lock: whoever gets a place before `close` is among the holders it waits for.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let words = "as many sessions are open as this server hands out";
            return Err(Box::new(busy(words, self.limits.keep)));
        };
        if let Err(wait) = state.admit(self.limits.per_minute) {
            return Err(Box::new(busy("too many sessions were asked for within a minute", wait)));
        }
        while state.holders.try_join_next().is_some() {}
        let closing = state.closing.subscribe();
        let mut given_up = closing.clone();
        let taking = (self.take)(Box::pin(async move { drop(given_up.changed().await) }));
        let (hand, handed) = oneshot::channel();
        state.holders.spawn(hold(taking, hand, closing, self.limits.keep, place));
        Ok(handed)
    }

    async fn keep(&self, id: &str) -> Response<Bytes> {
        let (done, kept) = oneshot::channel();
        self.ask(id, Ask::Keep(done)).await;
        match kept.await {
            Ok(()) => json_response(StatusCode::OK, &json!({ "keep_s": self.limits.keep.as_secs() })),
            Err(_dropped) => refusal(StatusCode::NOT_FOUND, NO_SESSION),
        }
    }

    async fn end(&self, id: &str) -> Response<Bytes> {
        let (tell, told) = oneshot::channel();
        self.ask(id, Ask::End(tell)).await;
        match timeout(LAST_CALLS, told).await {
            Ok(Ok(Ok(()))) => json_response(StatusCode::OK, &json!({ "session_id": id })),
            Ok(Ok(Err(error))) => failure(error.code()),
            Ok(Err(_dropped)) => refusal(StatusCode::NOT_FOUND, NO_SESSION),
            // Its holder goes on.
            Err(_elapsed) => json_response(StatusCode::ACCEPTED, &json!({ "session_id": id })),
        }
    }

    /// Asks whoever holds a session. What nobody takes is dropped.
    async fn ask(&self, id: &str, ask: Ask) {
        let holder = self.lock().asks.get(id).cloned();
        if let Some(holder) = holder {
            let _ = holder.send(ask).await;
        }
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
}

impl fmt::Debug for Lobby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lobby")
            .field("limits", &self.limits)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Owns one session from before it exists until it is over, and its place as long.
async fn hold(
    taking: Taking,
    hand: oneshot::Sender<Result<Handed, AvatarError>>,
    closing: watch::Receiver<()>,
    keep: Duration,
    place: OwnedSemaphorePermit,
) {
    match taking.await {
        Ok(seat) => {
            let (asks, asked) = mpsc::channel(ASKS);
            let id = seat.session().session_id.clone();
            // Whoever asked may be gone: then nobody can keep it, and it is ended at once.
            drop(hand.send(Ok(Handed { id, told: describe(&seat, keep), asks })));
            let teller = stay(asked, closing, keep).await;
            end(seat, teller).await;
        }
        Err(error) => drop(hand.send(Err(error))),
    }
    drop(place);
}

/// Waits until a session is kept no more. Who wants to know how it ends, if anybody.
async fn stay(
    mut asked: mpsc::Receiver<Ask>,
    mut closing: watch::Receiver<()>,
    keep: Duration,
) -> Option<Teller> {
    let mut until = Instant::now() + keep;
    loop {
        tokio::select! {
            ask = asked.recv() => match ask {
                Some(Ask::End(teller)) => return Some(teller),
                Some(Ask::Keep(done)) => {
                    until = Instant::now() + keep;
                    // Kept all the same if whoever asked is gone.
                    let _ = done.send(());
                }
                None => return None,
            },
            () = sleep_until(until) => return None,
            _ = closing.changed() => return None,
        }
    }
}

/// Ends a session, and tells how the first attempt went; more follow if it fails.
async fn end(mut seat: AvatarSeat, mut teller: Option<Teller>) {
    let mut pause = FIRST_PAUSE;
    for _ in 0..END_ATTEMPTS {
        let ended = seat.end().await;
        if let Err(error) = &ended {
            tracing::warn!(error = %crate::error::chain(error), "an avatar session goes on costing money");
        }
        let is_over = ended.is_ok();
        if let Some(teller) = teller.take() {
            // Whoever asked may have had a 202 meanwhile.
            let _ = teller.send(ended);
        }
        if is_over {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(MINUTE);
    }
}

/// What a browser needs: the session's own secret and the way into the room, and nothing else.
fn describe(seat: &AvatarSeat, keep: Duration) -> Value {
    let session = seat.session();
    let mut told = json!({ "session_id": session.session_id, "url": seat.url(), "keep_s": keep.as_secs() });
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

const NO_SESSION: &str = "no such session, or it has ended";
/// Requests about one session that wait for its holder, which takes them at once.
const ASKS: usize = 4;
/// How often the end of a session is tried, each time within the service's own budget: ten minutes at least.
const END_ATTEMPTS: u32 = 15;
/// From the first failed end to the next attempt; then twice as long each time, a minute at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// How long the ends of all sessions may take together.
const LAST_CALLS: Duration = Duration::from_secs(10);
