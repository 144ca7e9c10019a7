//! A network of names in memory: requests, refusals and links as over HTTP, without a socket.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use tokio::time::timeout;

use super::{MemoryTransport, pair};
use crate::client::completed;
use crate::exchange::{upgrade_required, wants_upgrade};
use crate::http1::retry_after;
use crate::websocket::upgrade_request;
use crate::{Acceptor, ConnectStage, Connector, Endpoint, Exchange, ListenError, Requester, TransportError};

/// Host names and who listens on them. Clones are the same network.
///
/// ```
/// use futures::{SinkExt, StreamExt};
/// use voxline_protocol::Message;
/// use voxline_transport::{Acceptor, Connector, Endpoint, Exchange, Incoming, memory::Network};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::new(64);
/// let mut listener = network.listen("speech.test")?;
/// let connector = network.connector(Endpoint::parse("ws://speech.test/v1/tts?voice=ada")?);
///
/// let server = async {
///     let exchange = listener.accept().await.expect("the network lives");
///     assert_eq!(exchange.request().uri().path(), "/v1/tts");
///     exchange.upgrade().await
/// };
/// let (ours, theirs) = tokio::join!(connector.connect(), server);
/// ours?.send(Message::Text("hello".into())).await?;
/// assert_eq!(theirs?.next().await.transpose()?, Some(Incoming::Text("hello".into())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Network {
    listeners: Arc<Mutex<HashMap<String, mpsc::Sender<MemoryExchange>>>>,
    link_capacity: usize,
}

impl Network {
    /// A network whose links hold this many messages in each direction; see [`pair`].
    #[must_use]
    pub fn new(link_capacity: usize) -> Self {
        Self { listeners: Arc::default(), link_capacity }
    }

    /// Listens on a host name, whatever the port, until the listener is dropped.
    ///
    /// # Errors
    /// Somebody listens there already.
    pub fn listen(&self, host: &str) -> Result<MemoryListener, ListenError> {
        let mut listeners = self.lock();
        if listeners.get(host).is_some_and(|listener| !listener.is_closed()) {
            return Err(ListenError { address: host.to_owned(), source: io::ErrorKind::AddrInUse.into() });
        }
        let (requests, arriving) = mpsc::channel(BACKLOG);
        listeners.insert(host.to_owned(), requests);
        Ok(MemoryListener { arriving })
    }

    /// Dials from this network.
    #[must_use]
    pub fn connector(&self, endpoint: Endpoint) -> MemoryConnector {
        MemoryConnector { network: self.clone(), endpoint, connect_timeout: CONNECT_TIMEOUT }
    }

    /// Hands a request to whoever listens, and waits for the answer.
    async fn ask(&self, host: &str, request: Request<Bytes>) -> Result<Answer, TransportError> {
        let refused = || TransportError::Unreachable {
            authority: host.to_owned(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        let listener = self.lock().get(host).cloned();
        let (answer, answered) = oneshot::channel();
        let exchange = MemoryExchange { request, answer, link_capacity: self.link_capacity };
        listener.ok_or_else(refused)?.send(exchange).await.map_err(|_| refused())?;
        answered.await.map_err(|_| TransportError::reset("the server dropped the request"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<MemoryExchange>>> {
        // A map is whole after any panic of its user.
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requester for Network {
    fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, TransportError>> + Send {
        let (host, request) = (endpoint.host().to_owned(), completed(endpoint, request));
        async move {
            let timed_out =
                TransportError::Timeout { stage: ConnectStage::Response, limit: RESPONSE_TIMEOUT };
            match timeout(RESPONSE_TIMEOUT, self.ask(&host, request)).await {
                Ok(Ok(Answer::Response(response))) => Ok(response),
                Ok(Ok(Answer::Link(_))) => unreachable!(
                    "`completed` leaves no `Upgrade` in a request, without which `upgrade` makes no link"
                ),
                Ok(Err(error)) => Err(error),
                Err(_elapsed) => Err(timed_out),
            }
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("hosts", &self.lock().keys()).finish_non_exhaustive()
    }
}

/// Opens links inside a [`Network`].
#[derive(Debug, Clone)]
pub struct MemoryConnector {
    network: Network,
    endpoint: Endpoint,
    connect_timeout: Duration,
}

impl MemoryConnector {
    /// Sets the limit on the whole dial, 5 s by default, on Tokio's clock.
    #[must_use]
    pub const fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    async fn dial(&self) -> Result<MemoryTransport, TransportError> {
        // Nothing checks the key here; the server sees the headers a socket would bring.
        let request = upgrade_request(&self.endpoint, "bWVtb3J5IG5ldHdvcmsuLg==");
        match self.network.ask(self.endpoint.host(), request).await? {
            Answer::Link(link) => Ok(link),
            Answer::Response(response) => {
                let wait = retry_after(response.headers());
                Err(TransportError::refused(response.status().as_u16(), wait, response.body()))
            }
        }
    }
}

impl Connector for MemoryConnector {
    type Transport = MemoryTransport;

    fn connect(&self) -> impl Future<Output = Result<MemoryTransport, TransportError>> + Send {
        let limit = self.connect_timeout;
        async move {
            let timed_out = TransportError::Timeout { stage: ConnectStage::Upgrade, limit };
            timeout(limit, self.dial()).await.unwrap_or(Err(timed_out))
        }
    }
}

/// Takes the requests for one host name.
#[derive(Debug)]
pub struct MemoryListener {
    arriving: mpsc::Receiver<MemoryExchange>,
}

impl Acceptor for MemoryListener {
    type Exchange = MemoryExchange;

    async fn accept(&mut self) -> Option<MemoryExchange> {
        loop {
            let exchange = self.arriving.next().await?;
            // Whoever gave up waiting is not there to be answered.
            if !exchange.answer.is_canceled() {
                return Some(exchange);
            }
        }
    }
}

/// One request in memory, waiting for its answer.
pub struct MemoryExchange {
    request: Request<Bytes>,
    answer: oneshot::Sender<Answer>,
    link_capacity: usize,
}

impl MemoryExchange {
    fn answer(self, answer: Answer) -> Result<(), TransportError> {
        self.answer.send(answer).map_err(|_| TransportError::reset("the client gave up waiting"))
    }
}

impl Exchange for MemoryExchange {
    type Transport = MemoryTransport;

    fn request(&self) -> &Request<Bytes> {
        &self.request
    }

    async fn upgrade(self) -> Result<MemoryTransport, TransportError> {
        if !wants_upgrade(&self.request) {
            self.answer(Answer::Response(upgrade_required()))?;
            return Err(TransportError::NotWebSocket {
                authority: "the client".to_owned(),
                what: "its request is no upgrade",
            });
        }
        let (ours, theirs) = pair(self.link_capacity);
        self.answer(Answer::Link(theirs))?;
        Ok(ours)
    }

    async fn respond(self, response: Response<Bytes>) -> Result<(), TransportError> {
        self.answer(Answer::Response(response))
    }
}

impl fmt::Debug for MemoryExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryExchange")
            .field("method", self.request.method())
            .field("path", &self.request.uri().path())
            .finish_non_exhaustive()
    }
}

enum Answer {
    Link(MemoryTransport),
    Response(Response<Bytes>),
}

/// Requests that may wait for a busy listener, as in a socket's backlog.
const BACKLOG: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::{Retry, text_response};

    fn dial(network: &Network, url: &str) -> MemoryConnector {
        network.connector(Endpoint::parse(url).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_carries_status_wait_and_words() {
        let network = Network::new(1);
        let mut listener = network.listen("h").unwrap();
        let connector = dial(&network, "ws://h/");
        let server = async {
            let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, "come back");
            response.headers_mut().insert("retry-after", "3".parse().unwrap());
            listener.accept().await.unwrap().respond(response).await.unwrap();
        };
        let (client, ()) = tokio::join!(connector.connect(), server);
        let error = client.unwrap_err();
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(3)));
        assert!(matches!(error, TransportError::Refused { status: 503, body, .. } if body == "come back"));
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable_and_so_is_a_listener_that_left() {
        let network = Network::new(1);
        let connector = dial(&network, "ws://h/");
        assert!(matches!(connector.connect().await, Err(TransportError::Unreachable { .. })));
        let listener = network.listen("h").unwrap();
        assert!(network.listen("h").is_err(), "a name is taken while somebody listens");
        drop(listener);
        assert!(matches!(connector.connect().await, Err(TransportError::Unreachable { .. })));
        assert!(network.listen("h").is_ok(), "a name is free again afterwards");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_never_answers_runs_into_the_deadline() {
        let network = Network::new(1);
        let mut listener = network.listen("h").unwrap();
        let limit = Duration::from_secs(60);
        let connector = dial(&network, "ws://h/").with_connect_timeout(limit);
        let error = connector.connect().await.unwrap_err();
        assert!(matches!(error, TransportError::Timeout { limit: l, .. } if l == limit), "{error:?}");
        drop(network);
        drop(connector);
        assert!(listener.accept().await.is_none(), "a request nobody waits for does not surface");
    }

    #[tokio::test]
    async fn a_request_dropped_unanswered_is_a_reset() {
        let network = Network::new(1);
        let mut listener = network.listen("h").unwrap();
        let connector = dial(&network, "ws://h/");
        let server = async { drop(listener.accept().await) };
        let (client, ()) = tokio::join!(connector.connect(), server);
        assert!(matches!(client, Err(TransportError::Reset(_))));
    }
}
