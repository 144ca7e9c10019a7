//! Listening: TCP or TLS, requests read with bounds, each answered with a link or a response.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::{Request, Response, StatusCode};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::protocol::Role;
use voxline_protocol::Code;

use super::upgrade::{answer_upgrade, refusal};
use super::{WebSocket, WebSocketConfig};
use crate::exchange::text_response;
use crate::http1::{Http1, Limits};
use crate::io::BoxIo;
use crate::tls::ServerTls;
use crate::{Acceptor, ConnectStage, Exchange, RoundTrip, TransportError};

/// A listening address that takes WebSocket upgrades and plain HTTP requests alike.
///
/// Reading the requests of many connections goes on inside [`Acceptor::accept`], up to
/// [`ListenerConfig::max_handshakes`] at once; a connection that is too slow, too large or not
/// HTTP is answered if it can be, and never surfaces.
///
/// ```no_run
/// use voxline_transport::{Acceptor, Exchange, WebSocketListener, text_response};
///
/// # async fn serve() -> Result<(), voxline_transport::ListenError> {
/// let mut listener = WebSocketListener::bind("127.0.0.1:0").await?;
/// while let Some(exchange) = listener.accept().await {
///     tokio::spawn(async move {
///         if exchange.is_upgrade() {
///             let link = exchange.upgrade().await;
///             // … a session over the link
///         } else {
///             let _ = exchange.respond(text_response(http::StatusCode::OK, "fine\n")).await;
///         }
///     });
/// }
/// # Ok(())
/// # }
/// ```
pub struct WebSocketListener {
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<ServerTls>,
    config: ListenerConfig,
    arriving: FuturesUnordered<BoxFuture<'static, Option<WebSocketExchange>>>,
    /// Set while the system has no room for another connection.
    pause: Option<BoxFuture<'static, ()>>,
}

impl WebSocketListener {
    /// Listens on `host:port`; port 0 lets the system choose, see [`Self::local_address`]. Cancel-safe.
    ///
    /// # Errors
    /// The address does not parse or resolve, is taken, or needs rights we do not have.
    pub async fn bind(address: &str) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: address.to_owned(), source };
        let resolved: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
        let tcp = TcpListener::bind(&resolved[..]).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        Ok(Self {
            tcp,
            address,
            tls: None,
            config: ListenerConfig::new(),
            arriving: FuturesUnordered::new(),
            pause: None,
        })
    }

    /// Speaks TLS on every connection.
    #[must_use]
    pub fn with_tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the configuration.
    #[must_use]
    pub fn with_config(mut self, config: ListenerConfig) -> Self {
        self.config = config;
        self
    }

    /// The address listened on, with the port the system chose.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<WebSocketExchange> {
        loop {
            match self.arriving.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(exchange))) => return Poll::Ready(exchange),
                Poll::Ready(Some(None)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if self.arriving.len() >= self.config.max_handshakes {
                return Poll::Pending;
            }
            match std::task::ready!(self.tcp.poll_accept(cx)) {
                Ok((tcp, peer)) => {
                    let arrival = arrive(tcp, peer, self.tls.clone(), self.config.clone());
                    self.arriving.push(Box::pin(arrival));
                }
                Err(error) if is_one_connections_fault(&error) => {}
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "cannot accept; waiting for room");
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}

impl Acceptor for WebSocketListener {
    type Exchange = WebSocketExchange;

    async fn accept(&mut self) -> Option<WebSocketExchange> {
        Some(poll_fn(|cx| self.poll_accept(cx)).await)
    }
}

impl fmt::Debug for WebSocketListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketListener")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .field("arriving", &self.arriving.len())
            .finish_non_exhaustive()
    }
}

/// What a listener takes, and the settings of the links it opens.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The links' settings. `connect_timeout` bounds TLS and the reading of a request together.
    pub websocket: WebSocketConfig,
    /// The largest request head, in bytes. 16 KiB. A call's upgrade carries signatures and a
    /// query; larger heads are attacks.
    pub max_head_bytes: usize,
    /// The largest body of a request that is no upgrade, in bytes. 1 MiB.
    pub max_body_bytes: usize,
    /// Connections whose request is being read at one time. 256. More wait in the system's queue;
    /// too few lets slow peers hold up the others.
    pub max_handshakes: usize,
}

impl ListenerConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            websocket: WebSocketConfig::new(),
            max_head_bytes: 16 << 10,
            max_body_bytes: 1 << 20,
            max_handshakes: 256,
        }
    }

    /// Sets [`Self::websocket`].
    #[must_use]
    pub fn with_websocket(mut self, config: WebSocketConfig) -> Self {
        self.websocket = config;
        self
    }

    /// Sets [`Self::max_body_bytes`].
    #[must_use]
    pub const fn with_max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets [`Self::max_head_bytes`].
    #[must_use]
    pub const fn with_max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// Sets [`Self::max_handshakes`]; nought would accept nobody and counts as one.
    #[must_use]
    pub const fn with_max_handshakes(mut self, connections: usize) -> Self {
        self.max_handshakes = if connections == 0 { 1 } else { connections };
        self
    }
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// One request on a socket, waiting for its answer.
pub struct WebSocketExchange {
    http: Http1<BoxIo>,
    request: Request<Bytes>,
    peer: SocketAddr,
    config: ListenerConfig,
}

impl WebSocketExchange {
    /// Who asks.
    #[must_use]
    pub const fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    async fn answer(mut self, response: Response<Bytes>) -> Result<(), TransportError> {
        let limit = self.config.websocket.connect_timeout;
        bounded(limit, self.http.write_response(&response)).await?;
        self.http.finish().await;
        Ok(())
    }
}

impl Exchange for WebSocketExchange {
    type Transport = WebSocket;

    fn round_trip(link: &WebSocket) -> RoundTrip {
        link.round_trip()
    }

    fn request(&self) -> &Request<Bytes> {
        &self.request
    }

    async fn upgrade(mut self) -> Result<WebSocket, TransportError> {
        let response = answer_upgrade(&self.request);
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.answer(response).await?;
            return Err(TransportError::NotWebSocket {
                authority: "the client".to_owned(),
                what: "its request is no upgrade",
            });
        }
        bounded(self.config.websocket.connect_timeout, self.http.write_response(&response)).await?;
        let (io, early) = self.http.into_parts();
        Ok(WebSocket::new(io, early, Role::Server, &self.config.websocket).await)
    }

    async fn respond(self, response: Response<Bytes>) -> Result<(), TransportError> {
        self.answer(response).await
    }
}

impl fmt::Debug for WebSocketExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketExchange")
            .field("method", self.request.method())
            .field("path", &self.request.uri().path())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// An address that cannot be listened on.
#[non_exhaustive]
#[derive(Debug, Error)]
#[error("cannot listen on `{address}`; {}", remedy(.source))]
pub struct ListenError {
    /// The address as given.
    pub address: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    let remedies = [
        (io::ErrorKind::AddrInUse, "choose a free port, or 0 to be given one"),
        (io::ErrorKind::PermissionDenied, "choose a port from 1024 up, or run with the rights it needs"),
        (io::ErrorKind::AddrNotAvailable, "choose an address of this machine, such as 127.0.0.1 or 0.0.0.0"),
    ];
    let found = remedies.into_iter().find(|(kind, _)| *kind == error.kind());
    found.map_or("give it as HOST:PORT, such as 127.0.0.1:8080", |(_, remedy)| remedy)
}

impl ListenError {
    /// The stable name of this error; its page is in [`CODES`](crate::CODES).
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new("transport/listen")
    }
}

/// Takes one connection to the end of its request; `None` where there is nobody left to answer to.
async fn arrive(
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<ServerTls>,
    config: ListenerConfig,
) -> Option<WebSocketExchange> {
    let limit = config.websocket.connect_timeout;
    match timeout(limit, read(tcp, peer, tls, config)).await {
        Ok(Ok(exchange)) => exchange,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "connection gave no request");
            None
        }
        Err(_elapsed) => {
            tracing::debug!(%peer, ?limit, "connection gave no request in time");
            None
        }
    }
}

async fn read(
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<ServerTls>,
    config: ListenerConfig,
) -> io::Result<Option<WebSocketExchange>> {
    tcp.set_nodelay(config.websocket.no_delay)?;
    let io: BoxIo = match tls {
        None => Box::new(tcp),
        Some(tls) => Box::new(TlsAcceptor::from(tls.config()).accept(tcp).await?),
    };
    let mut http = Http1::new(io);
    let limits = Limits { head_bytes: config.max_head_bytes, body_bytes: config.max_body_bytes };
    let refusal = match http.read_request(limits).await {
        Ok(request) => match refusal(&request) {
            None => return Ok(Some(WebSocketExchange { http, request, peer, config })),
            Some(response) => response,
        },
        Err(error) => match error.status() {
            Some(status) => text_response(status, format!("{error}\n")),
            None => return Err(io::Error::other(error)),
        },
    };
    tracing::debug!(%peer, status = refusal.status().as_u16(), "request refused");
    http.write_response(&refusal).await.map_err(io::Error::other)?;
    http.finish().await;
    Ok(None)
}

async fn bounded<T>(
    limit: Duration,
    write: impl Future<Output = Result<T, crate::http1::Http1Error>>,
) -> Result<T, TransportError> {
    match timeout(limit, write).await {
        Ok(written) => written.map_err(|error| TransportError::Reset(io::Error::other(error))),
        Err(_elapsed) => Err(TransportError::Timeout { stage: ConnectStage::Upgrade, limit }),
    }
}

/// The peer went away between the system's queue and us; the listener is as well as before.
fn is_one_connections_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

/// Out of file descriptors: some call has to end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
