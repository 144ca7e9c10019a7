//! Where the parts of a simulated world meet: on loopback sockets, or in memory under a paused clock.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use voxline_transport::memory::{MemoryConnector, MemoryListener, Network};
use voxline_transport::{
    Acceptor, ClientTls, Connector, Endpoint, HttpClient, ListenError, ListenerConfig, Requester,
    WebSocketConfig, WebSocketConnector, WebSocketListener,
};

/// A place to listen and to dial from.
pub trait Net: fmt::Debug + Clone + Send + Sync + 'static {
    /// Takes what is dialled here.
    type Acceptor: Acceptor;
    /// Dials.
    type Connector: Connector;
    /// Carries requests.
    type Requester: Requester;

    /// Listens under a name, and says at which base URL it is dialled.
    ///
    /// # Errors
    /// Nothing can listen here.
    fn listen(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<(Self::Acceptor, String), ListenError>> + Send;

    /// A way to `endpoint`.
    fn connector(&self, endpoint: Endpoint) -> Self::Connector;

    /// Who carries requests.
    fn requester(&self) -> Self::Requester;
}

/// Sockets on 127.0.0.1, on ports the system chooses, and dials to anywhere.
#[derive(Debug, Clone, Default)]
pub struct Loopback {
    tls: ClientTls,
}

impl Loopback {
    /// Believes these certificates where it dials.
    #[must_use]
    pub fn with_tls(self, tls: ClientTls) -> Self {
        Self { tls }
    }
}

impl Net for Loopback {
    type Acceptor = WebSocketListener;
    type Connector = WebSocketConnector;
    type Requester = HttpClient;

    async fn listen(&self, _name: &str) -> Result<(WebSocketListener, String), ListenError> {
        let listener = WebSocketListener::bind("127.0.0.1:0").await?.with_config(listener_config());
        let url = format!("ws://{}", listener.local_address());
        Ok((listener, url))
    }

    fn connector(&self, endpoint: Endpoint) -> WebSocketConnector {
        WebSocketConnector::new(endpoint)
            .with_config(WebSocketConfig::new().with_ping_interval(Some(SPEECH_PING)))
            .with_tls(self.tls.clone())
    }

    fn requester(&self) -> HttpClient {
        HttpClient::new().with_tls(self.tls.clone())
    }
}

/// Links in memory. Nothing in them takes time, so a paused clock runs as fast as the work is done.
#[derive(Debug, Clone)]
pub struct InMemory(Network);

impl InMemory {
    /// An empty network.
    #[must_use]
    pub fn new() -> Self {
        Self(Network::new(LINK_MESSAGES))
    }
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Net for InMemory {
    type Acceptor = MemoryListener;
    type Connector = MemoryConnector;
    type Requester = Network;

    async fn listen(&self, name: &str) -> Result<(MemoryListener, String), ListenError> {
        // A name of this machine, where a key may be told without encryption.
        let host = format!("{name}.localhost");
        Ok((self.0.listen(&host)?, format!("ws://{host}")))
    }

    fn connector(&self, endpoint: Endpoint) -> MemoryConnector {
        self.0.connector(endpoint)
    }

    fn requester(&self) -> Network {
        self.0.clone()
    }
}

/// How a phone agent listens: with pings, without which Plivo gives a quiet link up.
pub(crate) fn listener_config() -> ListenerConfig {
    ListenerConfig::new().with_websocket(WebSocketConfig::new().with_ping_interval(Some(PHONE_PING)))
}

/// Often enough that every turn knows its network.
const PHONE_PING: Duration = Duration::from_secs(5);
/// What the speech gateway's own clients use.
const SPEECH_PING: Duration = Duration::from_secs(20);
/// Messages a link holds each way before it pushes back: about what a socket's buffers hold of 20 ms frames.
const LINK_MESSAGES: usize = 64;
