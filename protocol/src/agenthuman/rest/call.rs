//! One REST call from the first request to the last: verb fallbacks, polling, retries.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use serde_json::Value;

use super::time::parse_utc;
use super::{ApiError, AvatarApi, SessionInfo};
use crate::{Dice, is_loopback};

/// A call to the service as a value: it says what to send and when, and takes what came back.
///
/// ```
/// use std::time::Instant;
/// use bytes::Bytes;
/// use voxline_protocol::Secret;
/// use voxline_protocol::agenthuman::{AvatarApi, CallAnswer, CallStep};
///
/// let now = Instant::now();
/// let mut call = AvatarApi::new(Secret::new("ah_test_1")?).end("sess_1");
/// let CallStep::Send(request) = call.step(now) else { panic!() };
/// assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/sessions/sess_1/end"));
/// let gone = http::Response::builder().status(404).body(Bytes::from_static(b"{}"))?;
/// call.handle_response(now, &gone)?;
/// // The other verb is tried once, then a session nobody knows counts as ended.
/// let CallStep::Send(request) = call.step(now) else { panic!() };
/// assert_eq!(request.method(), "PUT");
/// call.handle_response(now, &gone)?;
/// assert!(matches!(call.step(now), CallStep::Done(CallAnswer::Ended)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AvatarCall {
    api: AvatarApi,
    kind: Kind,
    path: String,
    body: Bytes,
    verbs: &'static [Method],
    verb: usize,
    /// Failures of the service's own, and lost answers.
    failures: u32,
    /// Times the start call said `try_again`.
    polls: u32,
    started: Option<Instant>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    End,
    Get,
    Start,
}

#[derive(Debug)]
enum State {
    Due(Option<Instant>),
    InFlight { since: Instant },
    Done(CallAnswer),
}

/// What to do next. Exhaustive: a new step must break the build of whoever takes them.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a new step must break the build of whoever takes them")]
#[expect(clippy::large_enum_variant, reason = "taken apart where it is returned, never kept")]
pub enum CallStep {
    /// Nothing more.
    Done(CallAnswer),
    /// Send this and hand the answer back, or say that none came within [`AvatarCall::TIMEOUT`].
    Send(Request<Bytes>),
    /// Come back at this instant.
    Wait(Instant),
}

/// What a call came to.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum CallAnswer {
    /// The session is over.
    Ended,
    /// The session, from a create or get call.
    Session(Box<SessionInfo>),
    /// The session has a server.
    Started {
        /// Where to dial.
        ws_uri: String,
        /// When the session ends by itself; `None` is never.
        expiration: Option<SystemTime>,
    },
}

impl AvatarCall {
    /// How long one answer may take.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
    /// How long a start call is repeated while no server is assigned.
    pub const START_BUDGET: Duration = Duration::from_secs(60);

    fn new(api: AvatarApi, kind: Kind, path: String, body: Bytes, verbs: &'static [Method]) -> Self {
        Self {
            api,
            kind,
            path,
            body,
            verbs,
            verb: 0,
            failures: 0,
            polls: 0,
            started: None,
            state: State::Due(None),
        }
    }

    pub(super) fn create(api: AvatarApi, body: &Value) -> Self {
        let body = Bytes::from(body.to_string());
        Self::new(api, Kind::Create, "/v1/sessions".to_owned(), body, &[Method::POST])
    }

    pub(super) fn start(api: AvatarApi, id: &str) -> Self {
        let path = format!("/v1/sessions/{}/start", escaped(id));
        Self::new(api, Kind::Start, path, Bytes::new(), &[Method::PUT, Method::POST])
    }

    pub(super) fn get(api: AvatarApi, id: &str) -> Self {
        Self::new(api, Kind::Get, format!("/v1/sessions/{}", escaped(id)), Bytes::new(), &[Method::GET])
    }

    pub(super) fn end(api: AvatarApi, id: &str) -> Self {
        let path = format!("/v1/sessions/{}/end", escaped(id));
        Self::new(api, Kind::End, path, Bytes::from_static(b"{}"), &[Method::POST, Method::PUT])
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> CallStep {
        match &self.state {
            State::Due(Some(at)) if *at > now => CallStep::Wait(*at),
            State::Due(_) => {
                self.started.get_or_insert(now);
                self.state = State::InFlight { since: now };
                CallStep::Send(self.api.request(&self.verbs[self.verb], &self.path, &self.body))
            }
            State::InFlight { since } => CallStep::Wait(*since + Self::TIMEOUT),
            State::Done(answer) => CallStep::Done(answer.clone()),
        }
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// The call failed for good.
    pub fn handle_response(&mut self, now: Instant, response: &Response<Bytes>) -> Result<(), ApiError> {
        let status = response.status();
        if status.is_success() {
            return self.on_success(now, response);
        }
        let is_other_verb_worth_it = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
            && self.verb + 1 < self.verbs.len();
        if is_other_verb_worth_it {
            self.verb += 1;
            self.state = State::Due(None);
            return Ok(());
        }
        if self.kind == Kind::End && status == StatusCode::NOT_FOUND {
            self.state = State::Done(CallAnswer::Ended);
            return Ok(());
        }
        let error = ApiError::from_response(response);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let said = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let wait = said.and_then(|text| text.trim().parse().ok()).map_or(RATE_WAIT, Duration::from_secs);
            return self.retry(now, wait.min(MOST_RATE_WAIT), error);
        }
        if status.is_server_error() {
            return self.retry(now, self.backoff(), error);
        }
        Err(error)
    }

    /// No answer came.
    ///
    /// # Errors
    /// The call failed for good: a create call at once, since its session may exist.
    pub fn handle_lost(&mut self, now: Instant) -> Result<(), ApiError> {
        if self.kind == Kind::Create {
            return Err(ApiError::Transport);
        }
        self.retry(now, self.backoff(), ApiError::Transport)
    }

    fn on_success(&mut self, now: Instant, response: &Response<Bytes>) -> Result<(), ApiError> {
        let answer = match self.kind {
            Kind::Create | Kind::Get => CallAnswer::Session(Box::new(SessionInfo::read(response)?)),
            // Whatever the body says: a success is an end.
            Kind::End => CallAnswer::Ended,
            Kind::Start => return self.on_started(now, response),
        };
        self.state = State::Done(answer);
        Ok(())
    }

    fn on_started(&mut self, now: Instant, response: &Response<Bytes>) -> Result<(), ApiError> {
        let body = response.body();
        let value: Value = serde_json::from_slice(body)
            .map_err(|_| ApiError::unreadable(response.status().as_u16(), body))?;
        let value = if value["data"].is_object() { &value["data"] } else { &value };
        let uri = value["ws_uri"].as_str().unwrap_or_default().trim();
        if uri.is_empty() || uri.eq_ignore_ascii_case("try_again") {
            return self.poll_again(now);
        }
        if !is_dialable(uri) {
            return Err(ApiError::BadAddress { uri: uri.to_owned() });
        }
        let expiration = value["expiration"].as_str().and_then(parse_utc);
        self.state = State::Done(CallAnswer::Started { ws_uri: uri.to_owned(), expiration });
        Ok(())
    }

    /// One second, two, three, up to five, a fifth more or less.
    fn poll_again(&mut self, now: Instant) -> Result<(), ApiError> {
        self.polls += 1;
        let wait =
            self.jittered(Duration::from_secs(u64::from(self.polls.min(5)))).max(Duration::from_secs(1));
        let deadline = self.started.map_or(now, |started| started + Self::START_BUDGET);
        if now + wait > deadline {
            return Err(ApiError::StartTimeout { limit: Self::START_BUDGET });
        }
        self.state = State::Due(Some(now + wait));
        Ok(())
    }

    fn backoff(&self) -> Duration {
        self.jittered(Duration::from_secs(1 << self.failures.min(4)))
    }

    fn retry(&mut self, now: Instant, wait: Duration, error: ApiError) -> Result<(), ApiError> {
        self.failures += 1;
        if self.failures >= MAX_TRIES {
            return Err(error);
        }
        self.state = State::Due(Some(now + wait));
        Ok(())
    }

    /// Within a fifth of `wait`, the same for the same seed and attempt.
    fn jittered(&self, wait: Duration) -> Duration {
        let mut dice = Dice::new(self.api.seed ^ u64::from(self.polls + 16 * self.failures) << 32);
        wait.mul_f64(0.8 + 0.4 * dice.unit())
    }
}

/// Whether the socket, which is told the session's secret, may be dialled there: TLS, or this machine.
pub(super) fn is_dialable(uri: &str) -> bool {
    let Ok(uri) = uri.parse::<Uri>() else { return false };
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return false };
    match uri.scheme_str() {
        Some("wss") => true,
        Some("ws") => is_loopback(host),
        Some(_) | None => false,
    }
}

/// An id in a path: the service calls it opaque, so anything but a letter, digit, `-`, `_` or `.` is escaped.
/// One longer than [`MAX_ID`] is nobody's, and so is its beginning.
fn escaped(id: &str) -> String {
    let mut path = String::with_capacity(id.len().min(MAX_ID));
    for byte in id.bytes().take(MAX_ID) {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing into a `String` cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

const MAX_TRIES: u32 = 4;
/// Bytes of an id that are asked for; the service's own have 36.
const MAX_ID: usize = 2_048;
/// What the service's own text says when its header does not.
const RATE_WAIT: Duration = Duration::from_secs(60);
/// Longer waits are the caller's to decide.
const MOST_RATE_WAIT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_dialled() {
        for (uri, expected) in [
            ("wss://gpu-3.agenthuman.com/s/1", true),
            ("ws://127.0.0.1:8080/s/1", true),
            ("ws://localhost/", true),
            ("ws://gpu.localhost/s/1", true),
            ("ws://[::1]:9/", true),
            ("ws://gpu-3.agenthuman.com/", false),
            ("ws://localhost.evil.com/", false),
            ("ws://127.0.0.1.evil.com/", false),
            ("https://gpu-3.agenthuman.com", false),
            ("wss://", false),
            ("pending", false),
        ] {
            assert_eq!(is_dialable(uri), expected, "{uri}");
        }
    }

    /// Symptom: an id of 22,000 escaped bytes in an answer made an address that does not parse, and a panic.
    #[test]
    fn an_id_of_any_length_can_be_asked_for() {
        let key = crate::Secret::new("ah_test_1").unwrap();
        let mut call = AvatarApi::new(key).get(&"ü".repeat(30_000));
        let CallStep::Send(request) = call.step(crate::agenthuman::instant()) else { panic!("it is due") };
        assert!(request.uri().path().starts_with("/v1/sessions/%C3%BC"));
    }

    #[test]
    fn ids_are_escaped_in_paths() {
        assert_eq!(escaped("PUBLIC/Avatars/Ada ü"), "PUBLIC%2FAvatars%2FAda%20%C3%BC");
    }
}
