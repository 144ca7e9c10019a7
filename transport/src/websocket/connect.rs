//! Dialling a WebSocket: the client's opening handshake, and what a refusal says.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{WebSocket, WebSocketConfig};
use crate::dial::{Deadline, Dialer};
use crate::http1::{HEAD_BYTES, Http1, Http1Error, is, retry_after};
use crate::io::BoxIo;
use crate::keepalive::RoundTrip;
use crate::proxy::Proxy;
use crate::tls::ClientTls;
use crate::{ConnectStage, Connector, Endpoint, TransportError};

/// Opens WebSockets to one endpoint.
///
/// ```no_run
/// use voxline_transport::{Connector, Endpoint, WebSocketConfig, WebSocketConnector};
///
/// # async fn dial() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Endpoint::parse("wss://api.example.com/v1/stt")?;
/// let connector = WebSocketConnector::new(endpoint).with_config(WebSocketConfig::new());
/// let link = connector.connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WebSocketConnector {
    endpoint: Endpoint,
    config: WebSocketConfig,
    dialer: Dialer,
    round_trip: RoundTrip,
}

impl WebSocketConnector {
    /// A connector with the default configuration, the public roots, and no proxy.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let dialer = Dialer::new(endpoint.is_secure());
        Self { endpoint, config: WebSocketConfig::new(), dialer, round_trip: RoundTrip::default() }
    }

    /// Sets the configuration of every link opened.
    #[must_use]
    pub fn with_config(mut self, config: WebSocketConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets whose certificates are believed; connectors that share one share its session cache.
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.dialer.tls = Some(tls);
        self
    }

    /// Reaches the server through an HTTP proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.dialer.proxy = Some(proxy);
        self
    }

    /// Where it connects to.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The round trip last measured on any of its links; pings must be on.
    #[must_use]
    pub fn round_trip(&self) -> RoundTrip {
        self.round_trip.clone()
    }

    async fn dial(&self) -> Result<WebSocket, TransportError> {
        self.endpoint.check_cleartext(&HeaderMap::new())?;
        let deadline = Deadline::new(self.config.connect_timeout, self.config.stage_timeouts);
        let io = self.dialer.open(&deadline, &self.endpoint, self.config.no_delay).await?;
        let (io, early) = deadline.run(ConnectStage::Upgrade, self.ask(io)).await?;
        tracing::debug!(endpoint = %self.endpoint, "link open");
        let mut link = WebSocket::new(io, early, Role::Client, &self.config).await;
        link.round_trip = self.round_trip.clone();
        Ok(link)
    }

    /// The client's opening handshake: RFC 6455 §4.1.
    ///
    /// Written here rather than taken from tungstenite, whose version logs the whole request,
    /// credentials included, and keeps of a refusal's body only what came with its head.
    async fn ask(&self, io: BoxIo) -> Result<(BoxIo, BytesMut), TransportError> {
        let failed = |error: Http1Error| error.into_transport(self.endpoint.authority());
        let nonce = generate_key();
        let mut http = Http1::new(io);
        http.write_request(&upgrade_request(&self.endpoint, &nonce)).await.map_err(failed)?;
        let head = http.read_response_head(HEAD_BYTES).await.map_err(failed)?;
        if head.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(&mut http, &head).await);
        }
        match flaw(&head, &nonce) {
            Some(what) => Err(TransportError::NotWebSocket { authority: self.endpoint.authority(), what }),
            None => Ok(http.into_parts()),
        }
    }
}

impl Connector for WebSocketConnector {
    type Transport = WebSocket;

    fn connect(&self) -> impl Future<Output = Result<WebSocket, TransportError>> + Send {
        // Boxed: a session's future would otherwise carry the handshake's buffers for its whole life.
        Box::pin(self.dial())
    }
}

/// The request that opens a link, with the credentials of the moment.
pub(crate) fn upgrade_request(endpoint: &Endpoint, nonce: &str) -> Request<Bytes> {
    let mut request = endpoint.request();
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    let Ok(nonce) = HeaderValue::from_str(nonce) else { unreachable!("base64 is printable ASCII") };
    headers.insert("sec-websocket-key", nonce);
    request
}

/// What is wrong with a 101, if anything: RFC 6455 §4.1, the client's checks.
fn flaw(head: &Response<()>, nonce: &str) -> Option<&'static str> {
    let headers = head.headers();
    let accept = headers.get("sec-websocket-accept");
    if !is(headers, &UPGRADE, "websocket") || !is(headers, &CONNECTION, "upgrade") {
        Some("its answer lacks the upgrade headers")
    } else if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(nonce.as_bytes()).as_bytes())
    {
        Some("its answer belongs to another request")
    } else if headers.contains_key("sec-websocket-extensions")
        || headers.contains_key("sec-websocket-protocol")
    {
        Some("it chose an extension or a subprotocol that was not offered")
    } else {
        None
    }
}

/// A refusal with the server's words, as far as they come.
async fn refusal(http: &mut Http1<BoxIo>, head: &Response<()>) -> TransportError {
    let read = http.read_response_body(head, TransportError::BODY_BYTES);
    // A body that stalls must not turn a clear refusal into a timeout.
    let body = match tokio::time::timeout(BODY_PATIENCE, read).await {
        Ok(Ok(body)) => body.bytes,
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    TransportError::refused(head.status().as_u16(), retry_after(head.headers()), &body)
}

const BODY_PATIENCE: Duration = Duration::from_millis(500);
