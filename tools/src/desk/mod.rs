//! The front desk: who asks, whether they may, and what Plivo is told over HTTP.

mod origin;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use voxline_protocol::Secret;
use voxline_protocol::plivo::{
    CallId, CallWebhook, NonceGuard, Params, PlivoVerifier, StreamCallback, StreamTokens, StreamXml, XmlError,
};
use voxline_transport::text_response;

pub use origin::Origin;

/// Answers what arrives at a phone agent's address: the answer, status and hangup webhooks of a Plivo account, and
/// the streams themselves.
///
/// A request is taken if Plivo signed it. A stream is taken too if it brings the token that the answer of its call
/// was given, so that a proxy may rewrite what was signed.
///
/// ```
/// use std::time::Instant;
/// use voxline::desk::{FrontDesk, Origin, Verdict};
///
/// let desk = FrontDesk::open(Origin::FromRequest { forwarded: false });
/// let request = http::Request::post("/answer").header("host", "127.0.0.1:8080").body("CallUUID=c-1".into()).unwrap();
/// let Verdict::Answer(response) = desk.receive(Instant::now(), &request, false) else { panic!() };
/// assert!(String::from_utf8_lossy(response.body()).contains(">ws://127.0.0.1:8080/stream?call=c-1&amp;token="));
/// ```
pub struct FrontDesk {
    trust: Trust,
    origin: Origin,
    seen: Mutex<Seen>,
}

/// Whom to believe.
enum Trust {
    /// Whoever Plivo signed for.
    Plivo(PlivoVerifier),
    /// Whoever asks this machine by a name only it has.
    Loopback,
    /// Everybody.
    Everybody,
}

struct Seen {
    tokens: StreamTokens,
    nonces: NonceGuard,
}

/// What to do with a request.
#[non_exhaustive]
#[derive(Debug)]
pub enum Verdict {
    /// The answer webhook: answer this, or [`busy`](FrontDesk::busy) if there is no room for the call.
    Answer(Response<Bytes>),
    /// Call webhook at the end of a call: answer this.
    HungUp(Box<CallWebhook>, Response<Bytes>),
    /// Answer this.
    Respond(Response<Bytes>),
    /// A status callback: answer this.
    Status(Box<StreamCallback>, Response<Bytes>),
    /// Agree to the upgrade: it is a stream, of this call if it says so.
    Stream(Option<CallId>),
}

impl FrontDesk {
    /// Takes what Plivo signed with a token that `verifier` knows. `key` makes the stream tokens.
    #[must_use]
    pub fn new(verifier: PlivoVerifier, key: Secret, origin: Origin) -> Self {
        Self::trusting(Trust::Plivo(verifier), key, origin)
    }

    /// Takes everything that asks for a loopback host, signed or not: for a simulated Plivo on this machine.
    #[must_use]
    pub fn loopback(key: Secret, origin: Origin) -> Self {
        Self::trusting(Trust::Loopback, key, origin)
    }

    /// Takes everything: for links in memory.
    #[must_use]
    pub fn open(origin: Origin) -> Self {
        let Ok(key) = Secret::new("open") else { unreachable!("letters make a header") };
        Self::trusting(Trust::Everybody, key, origin)
    }

    fn trusting(trust: Trust, key: Secret, origin: Origin) -> Self {
        let seen = Seen { tokens: StreamTokens::new(key), nonces: NonceGuard::new(NONCES) };
        Self { trust, origin, seen: Mutex::new(seen) }
    }

    /// The answer to a call there is no room for: it hears the busy tone.
    #[must_use]
    pub fn busy() -> Response<Bytes> {
        xml_response(r#"<?xml version="1.0" encoding="UTF-8"?><Response><Hangup reason="busy"/></Response>"#)
    }

    /// Judges one request; `upgrade` says whether it asks for a WebSocket.
    #[must_use]
    pub fn receive(&self, now: Instant, request: &Request<Bytes>, upgrade: bool) -> Verdict {
        let path = request.uri().path();
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        match (path, upgrade) {
            (STREAM_PATH, true) => self.stream(now, request),
            (STREAM_PATH, false) => {
                refusal(StatusCode::UPGRADE_REQUIRED, "this address takes Plivo streams over WebSocket\n")
            }
            (HEALTH_PATH, _) => refusal(StatusCode::OK, "ok\n"),
            (ANSWER_PATH | HANGUP_PATH | STATUS_PATH, _) => match self.webhook(request) {
                Ok(params) => self.hear(now, path, request, params),
                Err((status, words)) => refusal(status, words),
            },
            _ => refusal(StatusCode::NOT_FOUND, "the stream is at /stream, the answer URL at /answer\n"),
        }
    }

    fn hear(&self, now: Instant, path: &str, request: &Request<Bytes>, params: Params) -> Verdict {
        let bad = |error: &dyn fmt::Display| refusal(StatusCode::BAD_REQUEST, format!("{error}\n"));
        match path {
            STATUS_PATH => match StreamCallback::read(params) {
                Ok(callback) => Verdict::Status(Box::new(callback), text_response(StatusCode::OK, "ok\n")),
                Err(error) => bad(&error),
            },
            HANGUP_PATH => match CallWebhook::read(params) {
                Ok(call) => Verdict::HungUp(Box::new(call), text_response(StatusCode::OK, "ok\n")),
                Err(error) => bad(&error),
            },
            _ => match CallWebhook::read(params) {
                Ok(call) => self.answer(now, request, &call),
                Err(error) => bad(&error),
            },
        }
    }

    /// The parameters of a webhook that may be believed.
    fn webhook(&self, request: &Request<Bytes>) -> Result<Params, Refusal> {
        let method = request.method();
        let query = request.uri().query().unwrap_or_default();
        let form = if *method == Method::POST {
            let body = String::from_utf8_lossy(request.body());
            Params::from_body(&body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?
        } else if *method == Method::GET {
            Params::new()
        } else {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "webhooks come by GET or POST\n".to_owned()));
        };
        match &self.trust {
            Trust::Plivo(verifier) => {
                let url = self.url(request);
                let checked = verifier.verify(method, &url, &form, request.headers());
                let checked = checked.and_then(|()| self.seen().nonces.admit(request.headers()));
                checked.map_err(|error| forbidden(&url, &error))?;
            }
            Trust::Loopback => check_loopback(request)?,
            Trust::Everybody => {}
        }
        Ok(if *method == Method::POST { form } else { Params::from_form(query) })
    }

    fn answer(&self, now: Instant, request: &Request<Bytes>, call: &CallWebhook) -> Verdict {
        let token = self.seen().tokens.issue(now, &call.call_id);
        match self.xml(request, &call.call_id, token) {
            Ok(xml) => Verdict::Answer(xml_response(xml.to_string())),
            Err(error) => {
                tracing::warn!(%error, "the answer cannot name our stream; set --public-url");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
            }
        }
    }

    fn xml(&self, request: &Request<Bytes>, call: &CallId, token: String) -> Result<StreamXml, XmlError> {
        let base = self.origin.base(request);
        let mut query = Params::new();
        query.push("call", call.as_str());
        query.push("token", token);
        let stream = format!("{}{STREAM_PATH}?{}", base.replacen("http", "ws", 1), query.to_form());
        let xml = if stream.starts_with("ws://") {
            StreamXml::on_loopback(&stream)?
        } else {
            StreamXml::two_way(&stream)?
        };
        xml.with_status_callback(&format!("{base}{STATUS_PATH}"))
    }

    fn stream(&self, now: Instant, request: &Request<Bytes>) -> Verdict {
        let query = Params::from_form(request.uri().query().unwrap_or_default());
        let call = query.get("call").map(CallId::from);
        match &self.trust {
            Trust::Plivo(verifier) => {
                let url = self.url(request);
                let signed = verifier.verify_upgrade(&url, request.headers());
                let signed = signed.and_then(|form| {
                    self.seen().nonces.admit(request.headers())?;
                    Ok(form)
                });
                let token = call.as_ref().zip(query.get("token"));
                match (signed, token) {
                    (Ok(form), _) => tracing::debug!(?form, "stream let in by its signature"),
                    (Err(error), Some((call, token))) => match self.seen().tokens.redeem(now, call, token) {
                        Ok(()) => tracing::debug!(%error, "stream let in by its token"),
                        Err(token) => {
                            tracing::warn!(%token, "stream refused");
                            let (status, words) = forbidden(&url, &error);
                            return refusal(status, words);
                        }
                    },
                    (Err(error), None) => {
                        let (status, words) = forbidden(&url, &error);
                        return refusal(status, words);
                    }
                }
            }
            Trust::Loopback => {
                if let Err((status, words)) = check_loopback(request) {
                    return refusal(status, words);
                }
            }
            Trust::Everybody => {}
        }
        Verdict::Stream(call)
    }

    /// The address Plivo asked for.
    fn url(&self, request: &Request<Bytes>) -> String {
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        format!("{}{target}", self.origin.base(request))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Maps are whole after any panic of their user.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FrontDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = match self.trust {
            Trust::Plivo(_) => "Plivo",
            Trust::Loopback => "Loopback",
            Trust::Everybody => "Everybody",
        };
        f.debug_struct("FrontDesk")
            .field("trust", &trust)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// A status and a line of words.
type Refusal = (StatusCode, String);

fn check_loopback(request: &Request<Bytes>) -> Result<(), Refusal> {
    if origin::asked_host(request).is_some_and(origin::is_loopback) {
        return Ok(());
    }
    tracing::warn!("a request for a public host was refused; set PLIVO_AUTH_TOKEN to check signatures");
    let words = "without PLIVO_AUTH_TOKEN only this machine itself is served\n";
    Err((StatusCode::FORBIDDEN, words.to_owned()))
}

fn forbidden(url: &str, error: &dyn fmt::Display) -> Refusal {
    // The query may hold a token.
    tracing::warn!(%error, url = url.split('?').next().unwrap_or_default(), "request refused");
    (StatusCode::FORBIDDEN, format!("{error}\n"))
}

fn xml_response(xml: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = text_response(StatusCode::OK, xml);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn refusal(status: StatusCode, words: impl Into<Bytes>) -> Verdict {
    Verdict::Respond(text_response(status, words))
}

/// Where streams arrive.
pub const STREAM_PATH: &str = "/stream";
/// Where Plivo asks what to do with a call.
pub const ANSWER_PATH: &str = "/answer";
/// Where Plivo tells how a call ended.
pub const HANGUP_PATH: &str = "/hangup";
/// Where Plivo tells how a stream fares.
pub const STATUS_PATH: &str = "/status";
const HEALTH_PATH: &str = "/healthz";
/// Webhooks that are remembered against being played again: hours of them on a busy line.
const NONCES: usize = 65_536;

#[cfg(test)]
mod tests;
