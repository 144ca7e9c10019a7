//! The server's answer to an upgrade request: the same for our listener and for any other HTTP stack.

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::exchange::{text_response, upgrade_required, wants_upgrade};
use crate::http1::is;

/// What a server answers to a request that should become a link: for a program whose own HTTP stack
/// reads the requests.
///
/// The status is 101 where the request is a sound upgrade by RFC 6455 §4.2.1; write the response, then
/// give the stream that the stack hands over to
/// [`WebSocket::from_upgraded`](crate::WebSocket::from_upgraded). Any other status is a refusal that
/// says what is wrong, to be written as it is. No extension and no subprotocol is agreed to.
///
/// ```
/// use futures::StreamExt;
/// use tokio::io::AsyncWriteExt;
/// use voxline_transport::{Incoming, WebSocket, WebSocketConfig, answer_upgrade};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The request and the stream come from the HTTP stack; here they are RFC 6455's own example.
/// let request = http::Request::get("/chat")
///     .header("connection", "Upgrade")
///     .header("upgrade", "websocket")
///     .header("sec-websocket-version", "13")
///     .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
///     .body(())?;
/// let (mut client, stream) = tokio::io::duplex(1_024);
///
/// let response = answer_upgrade(&request);
/// assert_eq!(response.status(), 101);
/// assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// // … the stack writes the response and gives the stream away
/// let mut link = WebSocket::from_upgraded(stream, &WebSocketConfig::new()).await;
///
/// client.write_all(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]).await?;
/// assert_eq!(link.next().await.transpose()?, Some(Incoming::Text("Hello".into())));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn answer_upgrade<B>(request: &Request<B>) -> Response<Bytes> {
    if let Some(refusal) = refusal(request) {
        return refusal;
    }
    match request.headers().get("sec-websocket-key") {
        Some(key) if wants_upgrade(request) => switching_protocols(key),
        Some(_) | None => upgrade_required(),
    }
}

/// What to answer to an upgrade that breaks RFC 6455 §4.2.1; `None` for a sound one, and for a request
/// that is none.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<Bytes>> {
    let headers = request.headers();
    if !wants_upgrade(request) {
        None
    } else if !is(headers, &CONNECTION, "upgrade") {
        let words = "`Connection: Upgrade` is missing; does a proxy remove it?\n";
        Some(text_response(StatusCode::BAD_REQUEST, words))
    } else if headers.get("sec-websocket-version").is_none_or(|version| version != "13") {
        Some(upgrade_required())
    } else if !headers.contains_key("sec-websocket-key") {
        Some(text_response(StatusCode::BAD_REQUEST, "`Sec-WebSocket-Key` is missing\n"))
    } else {
        None
    }
}

fn switching_protocols(key: &HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        unreachable!("base64 is printable ASCII")
    };
    headers.insert("sec-websocket-accept", accept);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw=="),
    ];

    fn answer(headers: &[(&'static str, &'static str)]) -> Response<Bytes> {
        let mut request = Request::get("/").body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        answer_upgrade(&request)
    }

    #[test]
    fn a_sound_upgrade_is_agreed_to() {
        let response = answer(&SOUND);
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(response.headers()["connection"], "Upgrade");
        assert_eq!(response.headers()["sec-websocket-accept"], "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn a_request_that_lacks_a_header_is_told_which() {
        for (missing, status, words) in [
            ("connection", 400, "Connection: Upgrade"),
            ("upgrade", 426, "speaks WebSocket"),
            ("sec-websocket-version", 426, "speaks WebSocket"),
            ("sec-websocket-key", 400, "Sec-WebSocket-Key"),
        ] {
            let rest: Vec<_> = SOUND.into_iter().filter(|(name, _)| *name != missing).collect();
            let response = answer(&rest);
            let body = String::from_utf8_lossy(response.body());
            assert_eq!(response.status(), status, "{missing}");
            assert!(body.contains(words), "{missing}: {body}");
        }
    }

    #[test]
    fn a_post_is_no_upgrade_whatever_its_headers_say() {
        let mut request = Request::post("/").body(()).unwrap();
        for (name, value) in SOUND {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(answer_upgrade(&request).status(), 426);
    }
}
