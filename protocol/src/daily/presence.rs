//! Daily's REST service for a room of our own domain: who is in it, and out with who is left over.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use super::RoomUrl;
use crate::{BaseUrl, Code, Secret};

/// Daily's REST service, with the key of one domain. Rooms of other domains, the avatar vendor's
/// among them, cannot be asked about.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_protocol::daily::{DailyApi, RoomUrl};
///
/// let api = DailyApi::new(Secret::new("daily-key")?);
/// let (room, _) = RoomUrl::parse("https://mine.daily.co/demo")?;
/// assert_eq!(api.presence(&room).uri(), "https://api.daily.co/v1/rooms/demo/presence");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct DailyApi {
    base: BaseUrl,
    key: Secret,
}

/// Somebody in a room.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Present {
    /// The session, the same as in the events.
    #[serde(rename = "id")]
    pub session_id: String,
    /// The stable id.
    pub user_id: Option<String>,
    /// The name.
    pub user_name: Option<String>,
    /// When it joined, ISO 8601.
    pub join_time: Option<String>,
    /// How long it has been there, in seconds.
    pub duration: Option<f64>,
}

/// A call to Daily that failed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{status}: {kind} {info}")]
pub struct DailyApiError {
    /// The HTTP status.
    pub status: u16,
    /// Daily's stable name, empty if it gave none.
    pub kind: String,
    /// Daily's words.
    pub info: String,
}

impl DailyApiError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new("daily/api")
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.status == 429 || self.status >= 500 || self.is_malformed()
    }

    /// Whether the call succeeded, with an answer that cannot be read: the page of a proxy on the way, for example.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

impl DailyApi {
    /// Asking more often than this is pointless: the answer may be as old.
    pub const PRESENCE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(15);

    /// Daily's public service, with this key.
    #[must_use]
    pub fn new(key: Secret) -> Self {
        Self { base: BaseUrl::known("https://api.daily.co"), key }
    }

    /// The same at another address, a simulator's for example.
    #[must_use]
    pub fn with_base(self, base: BaseUrl) -> Self {
        Self { base, ..self }
    }

    /// The address in front of every path, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        self.base.as_str()
    }

    /// Asks who is in a room.
    #[must_use]
    pub fn presence(&self, room: &RoomUrl) -> Request<Bytes> {
        self.request(Method::GET, room, "presence", Bytes::new())
    }

    /// Puts one session out of a room, as an avatar whose renderer hangs. One that is not there is no error.
    #[must_use]
    pub fn eject(&self, room: &RoomUrl, session_id: &str) -> Request<Bytes> {
        let body = Bytes::from(json!({ "ids": [session_id] }).to_string());
        self.request(Method::POST, room, "eject", body)
    }

    fn request(&self, method: Method, room: &RoomUrl, call: &str, body: Bytes) -> Request<Bytes> {
        let uri = format!("{}/v1/rooms/{}/{call}", self.base, room.name());
        let (Ok(uri), Ok(mut key)) =
            (uri.parse(), HeaderValue::from_str(&format!("Bearer {}", self.key.expose())))
        else {
            unreachable!("base and name are plain and of limited length, and a `Secret` is printable ASCII")
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        key.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, key);
        if !request.body().is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// The call was refused, or the answer is not what Daily documents.
    pub fn read_presence(response: &Response<Bytes>) -> Result<Vec<Present>, DailyApiError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Vec<Present>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Refusal {
            error: String,
            info: String,
        }
        let status = response.status().as_u16();
        let failed = |kind: String, info: String| DailyApiError { status, kind, info };
        if !response.status().is_success() {
            let Refusal { error, info } = serde_json::from_slice(response.body())
                .unwrap_or_else(|_| Refusal { error: String::new(), info: "no details".to_owned() });
            return Err(failed(error, info));
        }
        serde_json::from_slice::<Answer>(response.body())
            .map(|answer| answer.data)
            .map_err(|error| failed(String::new(), error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_read_and_refusals_keep_dailys_words() {
        let body = r#"{"total_count":1,"data":[{"room":"demo","id":"s1","userId":null,"userName":"AI Avatar (AH)","joinTime":"2023-01-01T20:53:19.000Z","duration":2312}]}"#;
        let present = DailyApi::read_presence(&Response::new(Bytes::from(body))).unwrap();
        assert_eq!(present[0].session_id, "s1");
        assert_eq!(present[0].user_name.as_deref(), Some("AI Avatar (AH)"));
        let refused = Response::builder()
            .status(400)
            .body(Bytes::from(r#"{"error":"authorization-header-error","info":"missing"}"#));
        let error = DailyApi::read_presence(&refused.unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "400: authorization-header-error missing");
        assert!(!error.is_retryable() && error.code().entry().is_some());
    }

    #[test]
    fn a_field_without_a_value_costs_no_answer_and_a_proxys_page_is_asked_past() {
        let read =
            |body: &'static str| DailyApi::read_presence(&Response::new(Bytes::from_static(body.as_bytes())));
        let present =
            read(r#"{"total_count":1,"data":[{"id":"s1","userName":null,"duration":null}]}"#).unwrap();
        assert_eq!((present[0].session_id.as_str(), present[0].duration), ("s1", None));
        let error = read("<html>please log in</html>").unwrap_err();
        assert!(error.is_malformed() && error.is_retryable(), "{error}");
    }
}
