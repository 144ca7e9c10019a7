//! The server's side of opening a link, the same over sockets and in memory.

use std::future::Future;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};

use crate::{RoundTrip, Transport, TransportError, http1};

/// Takes requests as they arrive. What a simulator or a server is generic over.
pub trait Acceptor: Send + 'static {
    /// One request, waiting for its answer.
    type Exchange: Exchange;

    /// The next request; `None` once no more can come.
    ///
    /// Cancel-safe: a request half read when the future is dropped is read on by the next call.
    fn accept(&mut self) -> impl Future<Output = Option<Self::Exchange>> + Send;
}

/// One request, to be answered once: with a link, or with a response.
///
/// Dropping it unanswered closes the connection, which the other side sees as a reset.
pub trait Exchange: Send + 'static {
    /// The link an upgrade becomes.
    type Transport: Transport;

    /// The request: its target, its headers, and its body if it is no upgrade.
    fn request(&self) -> &Request<Bytes>;

    /// Whether the request asks for a WebSocket.
    fn is_upgrade(&self) -> bool {
        wants_upgrade(self.request())
    }

    /// Agrees to the upgrade. No extension and no subprotocol is ever negotiated.
    ///
    /// Not cancel-safe: dropped, it closes the connection.
    ///
    /// # Errors
    /// The request is no upgrade (it is answered 426), or the other side is gone.
    fn upgrade(self) -> impl Future<Output = Result<Self::Transport, TransportError>> + Send;

    /// The measured round trip of a link this became, to be kept when the link is given away. Never measured where
    /// links take no time.
    #[must_use]
    fn round_trip(_link: &Self::Transport) -> RoundTrip {
        RoundTrip::default()
    }

    /// Answers with a response: a refusal to an upgrade, the result to any other request.
    ///
    /// Not cancel-safe: dropped, it may leave the response half sent.
    ///
    /// # Errors
    /// The other side is gone.
    fn respond(self, response: Response<Bytes>) -> impl Future<Output = Result<(), TransportError>> + Send;
}

/// A response of this status with a text body.
///
/// ```
/// let response = voxline_transport::text_response(http::StatusCode::UNAUTHORIZED, "unknown key");
/// assert_eq!(response.status(), 401);
/// ```
#[must_use]
pub fn text_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// RFC 6455 §4.2.1, as far as it tells an upgrade from another request.
pub(crate) fn wants_upgrade<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET && http1::is(request.headers(), &UPGRADE, "websocket")
}

/// RFC 9110 §15.5.22: what to answer to a request that should have been an upgrade.
pub(crate) fn upgrade_required() -> Response<Bytes> {
    let mut response = text_response(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket\n");
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    response
}
