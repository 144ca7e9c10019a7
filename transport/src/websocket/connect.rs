//! Dialling: name, TCP, proxy, TLS and upgrade under one deadline, with the stage in every error.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::io::{BoxIo, Io};
use super::{WebSocket, WebSocketConfig};
use crate::http1::{Http1, Http1Error, is, retry_after};
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
    tls: Option<ClientTls>,
    proxy: Option<Proxy>,
}

impl WebSocketConnector {
    /// A connector with the default configuration, the public roots, and no proxy.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let tls = endpoint.is_secure().then(ClientTls::new);
        Self { endpoint, config: WebSocketConfig::new(), tls, proxy: None }
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
        self.tls = self.endpoint.is_secure().then_some(tls);
        self
    }

    /// Reaches the server through an HTTP proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Where it connects to.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn dial(&self) -> Result<WebSocket, TransportError> {
        let deadline = Deadline::new(&self.config);
        let tcp = match &self.proxy {
            None => self.tcp(&deadline, self.endpoint.host(), self.endpoint.port()).await?,
            Some(proxy) => {
                let tcp = self.tcp(&deadline, proxy.host(), proxy.port()).await?;
                deadline.run(ConnectStage::Proxy, proxy.tunnel(tcp, &self.endpoint.authority())).await?
            }
        };
        match &self.tls {
            None => self.upgrade(&deadline, tcp).await,
            Some(tls) => {
                let io = deadline.run(ConnectStage::Tls, self.handshake(tls, tcp)).await?;
                self.upgrade(&deadline, io).await
            }
        }
    }

    async fn tcp(&self, deadline: &Deadline<'_>, host: &str, port: u16) -> Result<TcpStream, TransportError> {
        let unreachable = |source| TransportError::Unreachable {
            authority: crate::endpoint::authority(host, port),
            source,
        };
        let lookup = async { lookup_host((host, port)).await.map_err(unreachable) };
        let addresses: Vec<SocketAddr> = deadline.run(ConnectStage::Dns, lookup).await?.collect();
        let connect = async { race(addresses).await.map_err(unreachable) };
        let tcp = deadline.run(ConnectStage::Tcp, connect).await?;
        // Refused only by a socket that is already dead; the next step will say so better.
        let _ = tcp.set_nodelay(self.config.no_delay);
        Ok(tcp)
    }

    async fn handshake(&self, tls: &ClientTls, tcp: TcpStream) -> Result<impl Io + use<>, TransportError> {
        let authority = || self.endpoint.authority();
        let name = ServerName::try_from(self.endpoint.host().to_owned())
            .map_err(|error| TransportError::Tls { authority: authority(), source: Box::new(error) })?;
        TlsConnector::from(tls.config()).connect(name, tcp).await.map_err(|error| {
            // rustls' findings are `InvalidData`; the rest is the network's doing.
            if error.kind() == io::ErrorKind::InvalidData {
                TransportError::Tls { authority: authority(), source: Box::new(error) }
            } else {
                TransportError::Reset(error)
            }
        })
    }

    async fn upgrade(&self, deadline: &Deadline<'_>, io: impl Io) -> Result<WebSocket, TransportError> {
        let (io, early) = deadline.run(ConnectStage::Upgrade, self.ask(io)).await?;
        tracing::debug!(endpoint = %self.endpoint, "link open");
        Ok(WebSocket::new(io, early, Role::Client, &self.config).await)
    }

    /// The client's opening handshake: RFC 6455 §4.1.
    ///
    /// Written here rather than taken from tungstenite, whose version logs the whole request,
    /// credentials included, and keeps of a refusal's body only what came with its head.
    async fn ask(&self, io: impl Io) -> Result<(BoxIo, BytesMut), TransportError> {
        let nonce = generate_key();
        let mut http = Http1::new(io);
        http.write_request(&upgrade_request(&self.endpoint, &nonce))
            .await
            .map_err(|error| self.failed(error))?;
        let head = http.read_response_head(HEAD_BYTES).await.map_err(|error| self.failed(error))?;
        if head.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(&mut http, &head).await);
        }
        match flaw(&head, &nonce) {
            Some(what) => Err(TransportError::NotWebSocket { authority: self.endpoint.authority(), what }),
            None => {
                let (io, early) = http.into_parts();
                Ok((Box::new(io), early))
            }
        }
    }

    fn failed(&self, error: Http1Error) -> TransportError {
        let what = match error {
            Http1Error::Io(error) => return TransportError::Reset(error),
            Http1Error::Bad(what) => what,
            Http1Error::BodyTooLarge { .. } | Http1Error::HeadTooLarge { .. } => "its answer has no end",
        };
        TransportError::NotWebSocket { authority: self.endpoint.authority(), what }
    }
}

impl Connector for WebSocketConnector {
    type Transport = WebSocket;

    fn connect(&self) -> impl Future<Output = Result<WebSocket, TransportError>> + Send {
        // Boxed: a session's future would otherwise carry the handshake's buffers for its whole life.
        Box::pin(self.dial())
    }
}

/// One limit over all steps, and each step's own.
struct Deadline<'a> {
    at: Instant,
    config: &'a WebSocketConfig,
}

impl<'a> Deadline<'a> {
    fn new(config: &'a WebSocketConfig) -> Self {
        Self { at: Instant::now() + config.connect_timeout, config }
    }

    async fn run<T>(
        &self,
        stage: ConnectStage,
        step: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let own = self.config.stage_timeouts.of(stage).map(|limit| (Instant::now() + limit, limit));
        let (at, limit) = match own {
            Some((at, limit)) if at < self.at => (at, limit),
            Some(_) | None => (self.at, self.config.connect_timeout),
        };
        timeout_at(at, step).await.unwrap_or(Err(TransportError::Timeout { stage, limit }))
    }
}

/// Tries the addresses in order, starting the next one when one fails or is slow: RFC 8305 §5.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => attempts.push(TcpStream::connect(address)),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(tcp) => return Ok(tcp),
                Err(error) => failure = error,
            },
            () = sleep(ATTEMPT_DELAY), if more => {}
        }
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
async fn refusal(http: &mut Http1<impl Io>, head: &Response<()>) -> TransportError {
    let read = http.read_response_body(head, TransportError::BODY_BYTES);
    // A body that stalls must not turn a clear refusal into a timeout.
    let body = match tokio::time::timeout(BODY_PATIENCE, read).await {
        Ok(Ok((body, _cut))) => body,
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    TransportError::refused(head.status().as_u16(), retry_after(head.headers()), &body)
}

/// More than any server's answer to an upgrade.
const HEAD_BYTES: usize = 16 << 10;
const BODY_PATIENCE: Duration = Duration::from_millis(500);
/// RFC 8305 §8: the recommended time before the next address is tried beside the first.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
