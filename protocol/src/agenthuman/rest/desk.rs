//! The service's REST side for a simulator: a request in, a response out, sessions in a table.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64_simd::URL_SAFE_NO_PAD as BASE64_URL;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::time::format_utc;
use crate::Secret;
use crate::agenthuman::{
    AspectRatio, AvatarQuirk, HostedSession, HostedStatus, Revision, RoomAccess, RoomPlatform, VendorError,
};

/// How an [`AvatarDesk`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct AvatarDeskConfig {
    /// The key every call must carry.
    pub key: String,
    /// Where the sockets are, without a slash at the end; a session's slot is appended in revision A.
    pub ws_base: String,
    /// How often the start call answers `try_again` first. Default 1.
    pub try_again: u32,
    /// Sessions that may run at once. Default 5.
    pub max_sessions: usize,
    /// How long a session lasts. Default 4 hours.
    pub session_length: Duration,
    /// Calls a minute. Default 60, as the service.
    pub calls_per_minute: u32,
    /// Oddities.
    pub quirks: Vec<AvatarQuirk>,
}

impl AvatarDeskConfig {
    /// The defaults for this key and socket address.
    pub fn new(key: impl Into<String>, ws_base: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            ws_base: ws_base.into(),
            try_again: 1,
            max_sessions: 5,
            session_length: Duration::from_secs(4 * 3600),
            calls_per_minute: 60,
            quirks: Vec::new(),
        }
    }
}

/// The sessions of a simulated service, and the calls that change them. Both revisions: a body with
/// a `room` is revision B.
///
/// ```
/// use bytes::Bytes;
/// use std::time::{Duration, UNIX_EPOCH};
/// use voxline_protocol::agenthuman::{AvatarDesk, AvatarDeskConfig};
///
/// let mut desk = AvatarDesk::new(AvatarDeskConfig::new("ah_test_1", "ws://127.0.0.1:9000"));
/// let request = http::Request::post("/v1/sessions").body(Bytes::from_static(b"{}"))?;
/// let response = desk.handle(UNIX_EPOCH + Duration::from_secs(1_700_000_000), &request);
/// assert_eq!(response.status(), 401);
/// assert_eq!(&response.body()[..], br#"{"error":"API key required"}"#);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Debug)]
pub struct AvatarDesk {
    config: AvatarDeskConfig,
    sessions: Vec<Entry>,
    calls: u64,
    window: Option<SystemTime>,
    calls_in_window: u32,
}

#[derive(Debug)]
struct Entry {
    id: String,
    secret: String,
    revision: Revision,
    status: HostedStatus,
    slot: usize,
    start_calls: u32,
    started_at: Option<SystemTime>,
    ended_at: Option<SystemTime>,
    expiration: Option<SystemTime>,
    metadata: Value,
    room: Value,
}

impl AvatarDesk {
    /// A service without sessions.
    #[must_use]
    pub const fn new(config: AvatarDeskConfig) -> Self {
        Self { config, sessions: Vec::new(), calls: 0, window: None, calls_in_window: 0 }
    }

    /// Answers one call at this time of the wall clock.
    pub fn handle(&mut self, wall: SystemTime, request: &Request<Bytes>) -> Response<Bytes> {
        self.calls += 1;
        if let Some(refusal) = self.refusal(wall, request) {
            return refusal;
        }
        self.expire(wall);
        let path = request.uri().path();
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        match (request.method(), &parts[..]) {
            (&Method::POST, ["v1", "sessions"]) => self.create(wall, request.body()),
            (&Method::GET, ["v1", "sessions", id]) => match self.find(id) {
                Some(entry) => ok(&json!({ "success": true, "session": entry.shown(false, true) })),
                None => self.error(StatusCode::NOT_FOUND, "Session not found", ""),
            },
            (method, ["v1", "sessions", id, "start"]) => {
                let allowed: &[_] = if self.has(AvatarQuirk::StartByPost) {
                    &[Method::POST]
                } else {
                    &[Method::PUT, Method::POST]
                };
                if allowed.contains(method) { self.start(wall, id) } else { self.not_allowed() }
            }
            (method, ["v1", "sessions", id, "end"]) => {
                let allowed: &[_] = if self.has(AvatarQuirk::EndByPut) {
                    &[Method::PUT]
                } else {
                    &[Method::POST, Method::PUT]
                };
                if allowed.contains(method) { self.end(wall, id) } else { self.not_allowed() }
            }
            _ => self.error(StatusCode::NOT_FOUND, "Not found", ""),
        }
    }

    /// The sessions as the server of one slot sees them, with expiries moved to our clock.
    ///
    /// In revision B every server holds every session.
    #[must_use]
    pub fn hosted(&self, slot: usize, now: Instant, wall: SystemTime) -> Vec<HostedSession> {
        let moved = |at: SystemTime| now.checked_add(at.duration_since(wall).unwrap_or_default());
        self.sessions
            .iter()
            .map(|entry| HostedSession {
                session_id: entry.id.clone(),
                secret: entry.secret.clone(),
                revision: entry.revision,
                status: entry.status,
                is_assigned_here: entry.revision == Revision::B || entry.slot == slot,
                expires_at: entry.expiration.and_then(moved),
            })
            .collect()
    }

    /// Ends a session from the socket's side, as when its link is gone in revision B.
    pub fn end_session(&mut self, wall: SystemTime, session_id: &str) {
        if let Some(entry) = self.sessions.iter_mut().find(|entry| entry.id == session_id) {
            entry.end(wall);
        }
    }

    /// How many sessions were created.
    #[must_use]
    pub const fn created(&self) -> usize {
        self.sessions.len()
    }

    /// The sessions that cost money right now.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.sessions
            .iter()
            .filter(|entry| entry.status == HostedStatus::Started)
            .map(|entry| entry.id.as_str())
    }

    /// The room of a session: the service's own in revision A, the one it was created with in B.
    #[must_use]
    pub fn room(&self, session_id: &str) -> Option<RoomAccess> {
        let room = &self.find(session_id)?.room;
        let token = Secret::new(room["token"].as_str()?).ok()?;
        let access = RoomAccess::daily(room["url"].as_str()?, token);
        Some(match room["display_name"].as_str() {
            Some(name) => access.with_display_name(name),
            None => access,
        })
    }

    fn has(&self, quirk: AvatarQuirk) -> bool {
        self.config.quirks.contains(&quirk)
    }

    fn find(&self, id: &str) -> Option<&Entry> {
        self.sessions.iter().find(|entry| entry.id == id)
    }

    fn expire(&mut self, wall: SystemTime) {
        for entry in &mut self.sessions {
            if entry.status == HostedStatus::Started && entry.expiration.is_some_and(|at| at <= wall) {
                entry.end(wall);
            }
        }
    }

    /// What stands before every call: quirks, the key, the rate.
    fn refusal(&mut self, wall: SystemTime, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        if self.has(AvatarQuirk::ServerErrors) && !self.calls.is_multiple_of(3) {
            return Some(self.error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error", ""));
        }
        let is_refused_call = !self.calls.is_multiple_of(2);
        if self.has(AvatarQuirk::RateLimited) && is_refused_call {
            return Some(self.rate_limited(Some("2")));
        }
        if self.has(AvatarQuirk::RateLimitedBare) && is_refused_call {
            return Some(self.rate_limited(None));
        }
        let key = request.headers().get("x-api-key").and_then(|value| value.to_str().ok());
        if key != Some(self.config.key.as_str()) {
            let text = if key.is_none() { "API key required" } else { "Invalid API key" };
            return Some(self.respond(StatusCode::UNAUTHORIZED, &json!({ "error": text })));
        }
        let is_new_window =
            self.window.is_none_or(|start| wall.duration_since(start).is_ok_and(|age| age >= MINUTE));
        if is_new_window {
            self.window = Some(wall);
            self.calls_in_window = 0;
        }
        self.calls_in_window += 1;
        (self.calls_in_window > self.config.calls_per_minute).then(|| self.rate_limited(Some("60")))
    }

    fn create(&mut self, wall: SystemTime, body: &[u8]) -> Response<Bytes> {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return self.error(StatusCode::BAD_REQUEST, "Invalid JSON format", "");
        };
        let revision = if body["room"].is_object() { Revision::B } else { Revision::A };
        let avatar = body["avatar"].as_str().or_else(|| body["avatar_id"].as_str()).unwrap_or_default();
        if avatar.is_empty() {
            let advice = "Include avatar_id in the request body";
            return self.error(StatusCode::BAD_REQUEST, "Avatar ID is required", advice);
        }
        if let Err(error) = check_b(&body, revision) {
            return self.error(StatusCode::BAD_REQUEST, &error.to_string(), "");
        }
        if self.running().count() >= self.config.max_sessions {
            let error = json!({ "message": "Concurrency limit reached", "code": "CONCURRENCY_LIMIT" });
            return self.respond(StatusCode::FORBIDDEN, &json!({ "success": false, "error": error }));
        }
        let number = self.sessions.len() + 1;
        let mut entry = Entry {
            id: format!("sess_{number}"),
            secret: format!("secret-{number}"),
            revision,
            status: HostedStatus::Created,
            slot: number,
            start_calls: 0,
            started_at: None,
            ended_at: None,
            expiration: None,
            metadata: if body["metadata"].is_object() { body["metadata"].clone() } else { json!({}) },
            room: if revision == Revision::A { self.own_room(number, wall) } else { body["room"].clone() },
        };
        if revision == Revision::B {
            self.begin(&mut entry, wall);
        }
        let session = entry.shown(true, !self.has(AvatarQuirk::NoRoomInCreate));
        self.sessions.push(entry);
        let (current, max) = (self.running().count(), self.config.max_sessions);
        let concurrency = json!({ "current": current, "max": max, "available": max.saturating_sub(current) });
        ok(&json!({
            "success": true,
            "session": session,
            "usage": { "concurrency": concurrency, "minutes": { "total_remaining": 120 } },
            "message": "Session created",
        }))
    }

    /// A room of the service's own domain, with a token in the right form that nobody signed.
    fn own_room(&self, number: usize, wall: SystemTime) -> Value {
        let name = format!("room-{number}");
        let opens = if self.has(AvatarQuirk::ForeignRoomToken) { "room-0" } else { name.as_str() };
        let now = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({ "r": opens, "d": "00000000-0000-4000-8000-000000000000", "iat": now, "exp": now + 86_400 });
        let parts = [json!({ "alg": "HS256", "typ": "JWT" }), claims]
            .map(|part| BASE64_URL.encode_to_string(part.to_string()));
        let token = format!("{}.{}.{}", parts[0], parts[1], BASE64_URL.encode_to_string("simulated"));
        json!({ "url": format!("https://agenthuman.daily.co/{name}"), "name": name, "token": token })
    }

    fn begin(&self, entry: &mut Entry, wall: SystemTime) {
        entry.status = HostedStatus::Started;
        entry.started_at = Some(wall);
        entry.expiration = if self.has(AvatarQuirk::NullExpiration) {
            None
        } else if self.has(AvatarQuirk::ExpiredAtBirth) {
            Some(wall)
        } else {
            wall.checked_add(self.config.session_length)
        };
    }

    fn start(&mut self, wall: SystemTime, id: &str) -> Response<Bytes> {
        let Some(index) = self.sessions.iter().position(|entry| entry.id == id) else {
            return self.error(StatusCode::NOT_FOUND, "Session not found", "");
        };
        if self.sessions[index].status == HostedStatus::Ended {
            return self.error(StatusCode::BAD_REQUEST, "Session has ended", "Create a new session");
        }
        self.sessions[index].start_calls += 1;
        let is_early = self.sessions[index].start_calls <= self.config.try_again;
        if self.sessions[index].status == HostedStatus::Created {
            let mut entry = self.sessions.remove(index);
            self.begin(&mut entry, wall);
            self.sessions.insert(index, entry);
        }
        let entry = &self.sessions[index];
        let is_first = entry.start_calls == self.config.try_again + 1;
        let is_wrong =
            self.has(AvatarQuirk::WrongServer) || (is_first && self.has(AvatarQuirk::WrongServerOnce));
        let slot = if is_wrong { entry.slot + ELSEWHERE } else { entry.slot };
        let ws_uri = if is_early || self.has(AvatarQuirk::AlwaysTryAgain) {
            "try_again".to_owned()
        } else {
            format!("{}/s/{slot}", self.config.ws_base)
        };
        ok(&json!({ "success": true, "ws_uri": ws_uri, "expiration": entry.expiration.map(format_utc) }))
    }

    fn end(&mut self, wall: SystemTime, id: &str) -> Response<Bytes> {
        self.end_session(wall, id);
        match self.find(id) {
            Some(entry) => ok(&json!({ "success": true, "session": entry.shown(false, false) })),
            None => self.error(StatusCode::NOT_FOUND, "Session not found", ""),
        }
    }

    fn not_allowed(&self) -> Response<Bytes> {
        self.error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "")
    }

    fn rate_limited(&self, retry_after: Option<&'static str>) -> Response<Bytes> {
        let text = "Too many requests. Please retry after 1 minute.";
        let body = json!({ "success": false, "error": text });
        let mut response = self.respond(StatusCode::TOO_MANY_REQUESTS, &body);
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", self.config.calls_per_minute.into());
        headers.insert("x-ratelimit-remaining", 0.into());
        if let Some(seconds) = retry_after {
            headers.insert("retry-after", http::HeaderValue::from_static(seconds));
        }
        response
    }

    fn error(&self, status: StatusCode, message: &str, suggestion: &str) -> Response<Bytes> {
        let mut error = json!({ "message": message });
        if !suggestion.is_empty() {
            error["suggestion"] = json!(suggestion);
        }
        self.respond(status, &json!({ "success": false, "error": error }))
    }

    fn respond(&self, status: StatusCode, body: &Value) -> Response<Bytes> {
        let text = if self.has(AvatarQuirk::HtmlErrors) && !status.is_success() {
            format!("<html><body>{status}</body></html>")
        } else {
            body.to_string()
        };
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        response
    }
}

impl Entry {
    fn end(&mut self, wall: SystemTime) {
        self.status = HostedStatus::Ended;
        self.ended_at.get_or_insert(wall);
    }

    /// The session as JSON. Only the create answer shows the secret; revision B never shows the room.
    fn shown(&self, with_secret: bool, with_room: bool) -> Value {
        let status = match self.status {
            HostedStatus::Created => "created",
            HostedStatus::Started => "started",
            HostedStatus::Ended => "ended",
        };
        let mut session = json!({
            "session_id": self.id,
            "status": status,
            "started_at": self.started_at.map(format_utc),
            "ended_at": self.ended_at.map(format_utc),
            "expiration": self.expiration.map(format_utc),
            "metadata": self.metadata,
        });
        if with_secret {
            let field = if self.revision == Revision::A { "access_token" } else { "session_token" };
            session[field] = json!(self.secret);
        }
        if with_room && self.revision == Revision::A {
            session["daily_room"] = self.room.clone();
        }
        session
    }
}

fn ok(body: &Value) -> Response<Bytes> {
    Response::new(Bytes::from(body.to_string()))
}

/// Revision B's own fields.
fn check_b(body: &Value, revision: Revision) -> Result<(), VendorError> {
    if revision == Revision::A {
        return Ok(());
    }
    let room = &body["room"];
    let field = |name: &str| room[name].as_str().unwrap_or_default();
    RoomPlatform::parse(field("platform")).map_err(|refusal| refusal.error)?;
    if field("url").is_empty() || field("token").is_empty() {
        return Err(VendorError::InvalidRoomPlatform);
    }
    match body["aspect_ratio"].as_str() {
        Some(name) => AspectRatio::parse(name).map(drop).map_err(|refusal| refusal.error),
        None => Ok(()),
    }
}

/// How far off the server of a wrong address is.
const ELSEWHERE: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);
