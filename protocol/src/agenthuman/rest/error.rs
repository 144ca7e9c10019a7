//! What a REST call to the service can come back with instead of an answer.

use std::time::Duration;

use http::Response;
use serde_json::Value;
use thiserror::Error;

use crate::Code;

/// A REST call that failed for good: what may be retried was.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The start call's address cannot be dialled.
    #[error("`{uri}` cannot be dialled; an address has a scheme and a host, and TLS off this machine")]
    BadAddress {
        /// What it was.
        uri: String,
    },
    /// The create answer carries no secret for the socket.
    #[error("create answer carries neither access_token nor session_token")]
    MissingSecret,
    /// Neither the create answer nor the session names a room.
    #[error("session names no room; read it again, or look at the dashboard")]
    NoRoom,
    /// The service answered with an error.
    #[error("{status}: {message}{}{suggestion}", if suggestion.is_empty() { "" } else { "; " })]
    Refused {
        /// Our stable name for it.
        code: Code,
        /// The HTTP status.
        status: u16,
        /// The service's words.
        message: String,
        /// The service's advice, often empty.
        suggestion: String,
    },
    /// No server was assigned in time.
    #[error("start call answered `try_again` for {limit:?}; end the session and try later")]
    StartTimeout {
        /// How long it was repeated.
        limit: Duration,
    },
    /// No answer came.
    #[error("no answer from the service")]
    Transport,
    /// An answer that is not what the service documents.
    #[error("unreadable answer with status {status}: `{excerpt}`")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// The first bytes of it.
        excerpt: String,
    },
}

impl ApiError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::BadAddress { .. } => Code::new("agenthuman/ws-address"),
            Self::MissingSecret => Code::new("agenthuman/no-secret"),
            Self::NoRoom => Code::new("agenthuman/no-room"),
            Self::Refused { code, .. } => *code,
            Self::StartTimeout { .. } => Code::new("agenthuman/start-timeout"),
            Self::Transport => Code::new("agenthuman/api-transport"),
            Self::Unreadable { .. } => Code::new("agenthuman/api-unreadable"),
        }
    }

    /// Reads an error answer in any of the service's four shapes; a page from a proxy keeps its beginning.
    pub(super) fn from_response(response: &Response<impl AsRef<[u8]>>) -> Self {
        let status = response.status().as_u16();
        let body = response.body().as_ref();
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return match status {
                500.. => refused(status, "", String::from("no details"), String::new()),
                _ => Self::unreadable(status, body),
            };
        };
        let error = &value["error"];
        let text = |field: &str| {
            error[field].as_str().or_else(|| value[field].as_str()).unwrap_or_default().to_owned()
        };
        let message = error.as_str().map_or_else(|| text("message"), str::to_owned);
        let kind = format!("{} {}", text("code"), error["details"]);
        refused(status, &kind, message, text("suggestion"))
    }

    pub(super) fn unreadable(status: u16, body: &[u8]) -> Self {
        let head = &body[..body.len().min(MOST_EXCERPT_BYTES)];
        Self::Unreadable { status, excerpt: String::from_utf8_lossy(head).into_owned() }
    }
}

/// Names an error by its text where that says more than its status: concurrency and minutes have
/// no documented status.
fn refused(status: u16, kind: &str, message: String, suggestion: String) -> ApiError {
    let all = format!("{kind} {message}").to_lowercase();
    let name = if all.contains("concurren") {
        "agenthuman/api-concurrency"
    } else if all.contains("insufficient_minutes") {
        "agenthuman/api-minutes"
    } else {
        match status {
            401 => "agenthuman/api-unauthorized",
            403 => "agenthuman/api-forbidden",
            404 => "agenthuman/api-not-found",
            429 => "agenthuman/api-rate-limited",
            500.. => "agenthuman/api-server",
            _ => "agenthuman/api-request",
        }
    };
    ApiError::Refused { code: Code::new(name), status, message, suggestion }
}

const MOST_EXCERPT_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_shape_is_read() {
        for (status, body, code, message) in [
            (
                400,
                r#"{"success":false,"error":{"message":"Avatar ID is required","suggestion":"Include it"}}"#,
                "agenthuman/api-request",
                "Avatar ID is required",
            ),
            (401, r#"{"error":"API key required"}"#, "agenthuman/api-unauthorized", "API key required"),
            (
                402,
                r#"{"success":false,"error":{"code":"INSUFFICIENT_MINUTES","message":"none left"}}"#,
                "agenthuman/api-minutes",
                "none left",
            ),
            (
                429,
                r#"{"success":false,"error":"Too many requests. Please retry after 1 minute."}"#,
                "agenthuman/api-rate-limited",
                "Too many requests. Please retry after 1 minute.",
            ),
            (
                403,
                r#"{"success":false,"error":{"message":"Limit","details":{"concurrency":{"max":1}}}}"#,
                "agenthuman/api-concurrency",
                "Limit",
            ),
            (502, "<html>Bad gateway</html>", "agenthuman/api-server", "no details"),
        ] {
            let response = Response::builder().status(status).body(body).unwrap();
            let error = ApiError::from_response(&response);
            assert_eq!(error.code().as_str(), code, "{body}");
            assert!(error.code().entry().is_some(), "{code} has a page");
            let ApiError::Refused { message: seen, .. } = error else { panic!("{error:?}") };
            assert_eq!(seen, message);
        }
        let page = Response::builder().status(404).body("<html>lost</html>").unwrap();
        assert!(matches!(ApiError::from_response(&page), ApiError::Unreadable { status: 404, .. }));
    }
}
