//! Plivo's REST interface, as requests to send and responses to read.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;
use voxline_audio::AudioFormat;

use super::form::encode;
use super::types::{CallId, Digit, StreamId};
use super::xml::content_type;
use crate::json::decode;
use crate::{BaseUrl, Code, DecodeError, Secret};

/// Builds requests for one account. Whoever executes them brings the socket.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_protocol::plivo::{CallId, PlivoApi};
///
/// let api = PlivoApi::new("MAXXXXXXXXXXXXXXXXXX", Secret::new("token").unwrap());
/// let request = api.hang_up(&CallId::from("c-1"));
/// assert_eq!(request.method(), http::Method::DELETE);
/// assert_eq!(request.uri(), "https://api.plivo.com/v1/Account/MAXXXXXXXXXXXXXXXXXX/Call/c-1/");
///
/// let answer = http::Response::builder().status(404).body(Default::default()).unwrap();
/// assert!(PlivoApi::read_done(&answer).is_ok(), "a call that is over is hung up");
/// ```
#[derive(Debug, Clone)]
pub struct PlivoApi {
    auth_id: String,
    auth_token: Secret,
    base: BaseUrl,
}

/// What to start a stream with, on a call that is up.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRequest {
    /// The stream's address.
    pub service_url: String,
    /// Whether it may speak to the caller. True unless set.
    pub bidirectional: bool,
    /// What it carries; µ-law at 8 kHz unless set.
    pub format: AudioFormat,
    /// Where status callbacks go. Nowhere unless set.
    pub status_callback_url: Option<String>,
    /// `k=v,k2=v2`. None unless set.
    pub extra_headers: Option<String>,
}

impl StreamRequest {
    /// A two-way µ-law stream to `service_url`.
    pub fn new(service_url: impl Into<String>) -> Self {
        Self {
            service_url: service_url.into(),
            bidirectional: true,
            format: AudioFormat::PHONE,
            status_callback_url: None,
            extra_headers: None,
        }
    }
}

/// A call to place.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    /// The caller id.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Where the instructions are.
    pub answer_url: String,
    /// Told when it is over. Nobody unless set.
    pub hangup_url: Option<String>,
    /// Ends the call after so long. Never unless set.
    pub time_limit: Option<Duration>,
}

impl CallRequest {
    /// A call from `from` to `to` that fetches its instructions at `answer_url`.
    pub fn new(from: impl Into<String>, to: impl Into<String>, answer_url: impl Into<String>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            answer_url: answer_url.into(),
            hangup_url: None,
            time_limit: None,
        }
    }
}

impl PlivoApi {
    /// For the account `auth_id`.
    pub fn new(auth_id: impl Into<String>, auth_token: Secret) -> Self {
        Self { auth_id: auth_id.into(), auth_token, base: BaseUrl::known("https://api.plivo.com") }
    }

    /// The same at another address, a simulator's for example.
    #[must_use]
    pub fn with_base(self, base: BaseUrl) -> Self {
        Self { base, ..self }
    }

    /// Starts a stream on a call.
    #[must_use]
    pub fn start_stream(&self, call: &CallId, stream: &StreamRequest) -> Request<Bytes> {
        let mut body = Map::new();
        body.insert("service_url".to_owned(), json!(stream.service_url));
        body.insert("bidirectional".to_owned(), json!(stream.bidirectional));
        body.insert("audio_track".to_owned(), json!("inbound"));
        body.insert("content_type".to_owned(), json!(content_type(stream.format)));
        if let Some(url) = &stream.status_callback_url {
            body.insert("status_callback_url".to_owned(), json!(url));
        }
        if let Some(headers) = &stream.extra_headers {
            body.insert("extra_headers".to_owned(), json!(headers));
        }
        self.request(Method::POST, &["Call", call.as_str(), "Stream"], Some(body))
    }

    /// Asks about one stream.
    #[must_use]
    pub fn stream(&self, call: &CallId, stream: &StreamId) -> Request<Bytes> {
        self.request(Method::GET, &["Call", call.as_str(), "Stream", stream.as_str()], None)
    }

    /// Stops one stream.
    #[must_use]
    pub fn stop_stream(&self, call: &CallId, stream: &StreamId) -> Request<Bytes> {
        self.request(Method::DELETE, &["Call", call.as_str(), "Stream", stream.as_str()], None)
    }

    /// Stops every stream of a call.
    #[must_use]
    pub fn stop_streams(&self, call: &CallId) -> Request<Bytes> {
        self.request(Method::DELETE, &["Call", call.as_str(), "Stream"], None)
    }

    /// Places a call. That Plivo accepts it does not mean that anybody answers.
    #[must_use]
    pub fn call(&self, call: &CallRequest) -> Request<Bytes> {
        let mut body = Map::new();
        body.insert("from".to_owned(), json!(call.from));
        body.insert("to".to_owned(), json!(call.to));
        body.insert("answer_url".to_owned(), json!(call.answer_url));
        if let Some(url) = &call.hangup_url {
            body.insert("hangup_url".to_owned(), json!(url));
        }
        if let Some(limit) = call.time_limit {
            body.insert("time_limit".to_owned(), json!(limit.as_secs()));
        }
        self.request(Method::POST, &["Call"], Some(body))
    }

    /// Hangs a call up.
    #[must_use]
    pub fn hang_up(&self, call: &CallId) -> Request<Bytes> {
        self.request(Method::DELETE, &["Call", call.as_str()], None)
    }

    /// Sends a call to other instructions. With `keepCallAlive` they are fetched once the stream ends:
    /// transfer first, then close the stream.
    #[must_use]
    pub fn transfer(&self, call: &CallId, answer_url: &str) -> Request<Bytes> {
        let mut body = Map::new();
        body.insert("legs".to_owned(), json!("aleg"));
        body.insert("aleg_url".to_owned(), json!(answer_url));
        self.request(Method::POST, &["Call", call.as_str()], Some(body))
    }

    /// Sends key tones on a call, beside any stream.
    #[must_use]
    pub fn send_digits(&self, call: &CallId, digits: &[Digit]) -> Request<Bytes> {
        let mut body = Map::new();
        let digits: String = digits.iter().map(|digit| digit.as_char()).collect();
        body.insert("digits".to_owned(), json!(digits));
        self.request(Method::POST, &["Call", call.as_str(), "DTMF"], Some(body))
    }

    /// Reads the answer to [`start_stream`](Self::start_stream).
    ///
    /// # Errors
    /// Plivo refused, or its answer makes no sense.
    pub fn read_stream_started(response: &Response<Bytes>) -> Result<StreamStarted, PlivoApiError> {
        read(response)
    }

    /// Reads the answer to [`stream`](Self::stream).
    ///
    /// # Errors
    /// Plivo refused, or its answer makes no sense.
    pub fn read_stream(response: &Response<Bytes>) -> Result<StreamRecord, PlivoApiError> {
        read(response)
    }

    /// Reads the answer to [`call`](Self::call), [`transfer`](Self::transfer) or [`send_digits`](Self::send_digits).
    ///
    /// # Errors
    /// Plivo refused, or its answer makes no sense.
    pub fn read_accepted(response: &Response<Bytes>) -> Result<ApiAccepted, PlivoApiError> {
        read(response)
    }

    /// Reads the answer to an ending: [`hang_up`](Self::hang_up), [`stop_stream`](Self::stop_stream),
    /// [`stop_streams`](Self::stop_streams). What is already over counts as ended.
    ///
    /// # Errors
    /// Plivo refused.
    pub fn read_done(response: &Response<Bytes>) -> Result<(), PlivoApiError> {
        let over = response.status() == StatusCode::NOT_FOUND
            || (response.status() == StatusCode::BAD_REQUEST && words(response).contains("No active stream"));
        if over { Ok(()) } else { check(response) }
    }

    fn request(&self, method: Method, path: &[&str], body: Option<Map<String, Value>>) -> Request<Bytes> {
        let path: Vec<_> = path.iter().map(|part| escaped(part)).collect();
        let uri = format!("{}/v1/Account/{}/{}/", self.base, escaped(&self.auth_id), path.join("/"));
        let login = format!("{}:{}", self.auth_id, self.auth_token.expose());
        let login = format!("Basic {}", base64_simd::STANDARD.encode_to_string(login));
        let (Ok(uri), Ok(mut login)) = (uri.parse(), HeaderValue::try_from(login)) else {
            unreachable!(
                "the base was parsed, the path is escaped and of limited length, and base64 is printable ASCII"
            )
        };
        let mut request =
            Request::new(body.map_or_else(Bytes::new, |body| Value::Object(body).to_string().into()));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        login.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, login);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}

/// A stream was started.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamStarted {
    /// The stream, equal to `start.streamId`.
    pub stream_id: String,
    /// Plivo's number of this request, for their support.
    #[serde(default)]
    pub api_id: Option<String>,
}

/// Plivo took a request.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApiAccepted {
    /// Plivo's words.
    #[serde(default)]
    pub message: Option<String>,
    /// The call's request, usually equal to the later call id.
    #[serde(default)]
    pub request_uuid: Option<String>,
    /// Plivo's number of this request, for their support.
    #[serde(default)]
    pub api_id: Option<String>,
}

/// What Plivo keeps about a stream.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamRecord {
    /// The stream.
    pub stream_id: String,
    /// Its call.
    #[serde(default)]
    pub call_uuid: Option<String>,
    /// Its address.
    #[serde(default)]
    pub service_url: Option<String>,
    /// How it stands, in Plivo's words.
    #[serde(default)]
    pub status: Option<String>,
    /// When it began, with its offset from UTC.
    #[serde(default)]
    pub start_time: Option<String>,
    /// When it ended. `None` while it runs.
    #[serde(default)]
    pub end_time: Option<String>,
    /// Seconds it lasted.
    #[serde(default)]
    pub bill_duration: Option<u64>,
    /// Seconds that are billed.
    #[serde(default)]
    pub rounded_bill_duration: Option<u64>,
    /// What it cost, as a decimal.
    #[serde(default)]
    pub billed_amount: Option<String>,
}

/// Plivo's REST interface refused, or is not what it should be.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlivoApiError {
    /// The answer is no such record.
    #[error("unexpected answer")]
    Malformed(#[source] DecodeError),
    /// Any other refusal.
    #[error("HTTP {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Plivo's words.
        message: String,
    },
    /// Too many requests: 300 in 5 s.
    #[error("too many requests; Plivo takes 300 in 5 s")]
    TooMany {
        /// When to try again, if Plivo said.
        retry_after: Option<Duration>,
    },
    /// The credentials are wrong.
    #[error("Plivo refuses the Auth ID and Auth Token; both are on the console's front page")]
    Unauthorized,
}

impl PlivoApiError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new(match self {
            Self::Malformed(_) => "plivo/api-malformed",
            Self::Refused { .. } => "plivo/api-refused",
            Self::TooMany { .. } => "plivo/api-too-many",
            Self::Unauthorized => "plivo/api-unauthorized",
        })
    }

    /// Whether the same request can succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::Unauthorized => false,
            Self::Refused { status, .. } => *status >= 500,
            Self::TooMany { .. } => true,
        }
    }
}

fn read<T: for<'a> Deserialize<'a>>(response: &Response<Bytes>) -> Result<T, PlivoApiError> {
    check(response)?;
    decode(&String::from_utf8_lossy(response.body())).map_err(PlivoApiError::Malformed)
}

fn check(response: &Response<Bytes>) -> Result<(), PlivoApiError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(match status {
        StatusCode::UNAUTHORIZED => PlivoApiError::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            PlivoApiError::TooMany { retry_after: seconds.map(Duration::from_secs) }
        }
        _ => PlivoApiError::Refused { status: status.as_u16(), message: words(response) },
    })
}

/// Plivo's `error`, or what there is instead, shortened.
fn words(response: &Response<Bytes>) -> String {
    let body = String::from_utf8_lossy(response.body());
    let error = serde_json::from_str::<Value>(&body).ok();
    let error = error.as_ref().and_then(|body| body.get("error")?.as_str());
    error.unwrap_or(&body).chars().take(MAX_WORDS).collect()
}

/// An id in a path. One longer than [`MAX_ID`] is nobody's, and so is its beginning.
fn escaped(id: &str) -> String {
    encode(&id.chars().take(MAX_ID).collect::<String>())
}

/// Characters of an id that are asked for; Plivo's own have 36. Escaped, four of them still fit into an address.
const MAX_ID: usize = 512;
const MAX_WORDS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> PlivoApi {
        PlivoApi::new("MA1", Secret::new("token").unwrap())
    }

    fn response(status: u16, body: &'static str) -> Response<Bytes> {
        Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn requests_have_the_documented_shape() {
        let (call, stream) = (CallId::from("c"), StreamId::from("s"));
        let digits = Digit::parse_all("1#").unwrap();
        let base = "https://api.plivo.com/v1/Account/MA1/";
        for (request, method, path, body) in [
            (
                api().start_stream(&call, &StreamRequest::new("wss://a.example/s")),
                "POST",
                "Call/c/Stream/",
                r#"{"service_url":"wss://a.example/s","bidirectional":true,"audio_track":"inbound","content_type":"audio/x-mulaw;rate=8000"}"#,
            ),
            (api().stream(&call, &stream), "GET", "Call/c/Stream/s/", ""),
            (api().stop_stream(&call, &stream), "DELETE", "Call/c/Stream/s/", ""),
            (api().stop_streams(&call), "DELETE", "Call/c/Stream/", ""),
            (
                api().call(&CallRequest::new("1", "2", "https://a.example/")),
                "POST",
                "Call/",
                r#"{"from":"1","to":"2","answer_url":"https://a.example/"}"#,
            ),
            (api().hang_up(&call), "DELETE", "Call/c/", ""),
            (
                api().transfer(&call, "https://a.example/"),
                "POST",
                "Call/c/",
                r#"{"legs":"aleg","aleg_url":"https://a.example/"}"#,
            ),
            (api().send_digits(&call, &digits), "POST", "Call/c/DTMF/", r##"{"digits":"1#"}"##),
        ] {
            assert_eq!(
                (request.method().as_str(), request.uri().to_string()),
                (method, format!("{base}{path}"))
            );
            let value = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
            assert_eq!(value(request.body()), value(body.as_bytes()), "{path}");
            assert_eq!(request.headers()[AUTHORIZATION], "Basic TUExOnRva2Vu");
            assert!(!format!("{request:?}").contains("TUExOnRva2Vu"), "the login shows in Debug");
        }
    }

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        let request = api().hang_up(&CallId::from("../Account?x=1"));
        assert_eq!(request.uri().path(), "/v1/Account/MA1/Call/..%2FAccount%3Fx%3D1/");
    }

    /// Symptom: an id that made the address too long had the request, with its login, go to the path `/`.
    #[test]
    fn an_id_of_any_length_is_asked_for_in_its_own_place() {
        let (long, stream) = ("\u{10ffff}".repeat(30_000), StreamId::from("s"));
        let api = PlivoApi::new(long.as_str(), Secret::new("token").unwrap());
        let request = api.stream(&CallId::from(long.as_str()), &stream);
        assert!(request.uri().path().starts_with("/v1/Account/%F4%8F%BF%BF"), "{}", request.uri());
        assert!(request.uri().path().ends_with("/Stream/s/"), "{}", request.uri());
    }

    #[test]
    fn another_base_goes_in_front_of_every_path() {
        let api = api().with_base(BaseUrl::parse("http://plivo.localhost/sim/").unwrap());
        let request = api.hang_up(&CallId::from("c"));
        assert_eq!(request.uri(), "http://plivo.localhost/sim/v1/Account/MA1/Call/c/");
    }

    #[test]
    fn answers_become_types() {
        let started = response(202, r#"{"api_id":"a","message":"audio streaming started","stream_id":"s"}"#);
        assert_eq!(PlivoApi::read_stream_started(&started).unwrap().stream_id, "s");
        let record = response(
            200,
            r#"{"stream_id":"s","end_time":null,"bill_duration":7,"billed_amount":"0.1","bidirectional":true}"#,
        );
        assert_eq!(PlivoApi::read_stream(&record).unwrap().bill_duration, Some(7));
        let fired = response(201, r#"{"message":"call fired","request_uuid":"r","api_id":"a"}"#);
        assert_eq!(PlivoApi::read_accepted(&fired).unwrap().request_uuid.as_deref(), Some("r"));
        for (answer, expected) in [
            (response(204, ""), Ok(())),
            (response(404, "{}"), Ok(())),
            (response(400, r#"{"api_id":"a","error":"No active stream found"}"#), Ok(())),
            (
                response(400, r#"{"error":"bad"}"#),
                Err(PlivoApiError::Refused { status: 400, message: "bad".to_owned() }),
            ),
            (response(401, "no"), Err(PlivoApiError::Unauthorized)),
            (response(429, ""), Err(PlivoApiError::TooMany { retry_after: None })),
        ] {
            let done = PlivoApi::read_done(&answer);
            assert_eq!(done, expected);
            assert!(done.err().is_none_or(|error| error.code().entry().is_some()), "{expected:?} has a page");
        }
        let error = PlivoApi::read_stream_started(&response(200, "[]")).unwrap_err();
        assert!(matches!(error, PlivoApiError::Malformed(_)) && error.code().entry().is_some(), "{error:?}");
    }
}
