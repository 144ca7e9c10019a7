//! Plain HTTP requests: REST calls and webhooks, one connection each, bounded in time and size.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderValue, Method, Request, Response};

use crate::dial::{Deadline, Dialer};
use crate::http1::{HEAD_BYTES, Http1, Http1Error};
use crate::io::BoxIo;
use crate::{ClientTls, ConnectStage, Endpoint, Proxy, StageTimeouts, TransportError};

/// Carries a request to its server and brings the response: over sockets, or inside a
/// [`memory::Network`](crate::memory::Network).
pub trait Requester: Send + Sync + 'static {
    /// Sends one request to `endpoint`, with the endpoint's headers and credentials under the
    /// request's own. The request's target, where it is more than `/`, replaces the endpoint's.
    ///
    /// A response of any status is `Ok`. Cancel-safe in that nothing is left behind; the server
    /// may have acted on the request.
    ///
    /// # Errors
    /// The server could not be reached, took too long, or did not answer in HTTP.
    fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, TransportError>> + Send;
}

/// Sends requests over sockets, by HTTP/1.1 and TLS.
///
/// Every request has its own connection: the calls a voice service makes are few, and one that
/// waits behind another's answer is a slow call setup.
///
/// ```no_run
/// use voxline_transport::{Endpoint, HttpClient, Requester};
///
/// # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Endpoint::parse("https://api.example.com/v1/sessions")?;
/// let request = http::Request::post("/v1/sessions").body("{}".into())?;
/// let response = HttpClient::new().send(&endpoint, request).await?;
/// assert_eq!(response.status(), 201);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HttpClient {
    dialer: Dialer,
    timeout: Duration,
    max_body_bytes: usize,
}

impl HttpClient {
    /// A client that waits 10 s for a whole answer and takes bodies up to 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self { dialer: Dialer::new(true), timeout: Duration::from_secs(10), max_body_bytes: 1 << 20 }
    }

    /// Sets the limit from the name lookup to the last byte of the answer.
    #[must_use]
    pub const fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets the largest body taken, in bytes.
    #[must_use]
    pub const fn with_max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets whose certificates are believed.
    #[must_use]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.dialer.tls = Some(tls);
        self
    }

    /// Reaches servers through an HTTP proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.dialer.proxy = Some(proxy);
        self
    }

    async fn run(
        &self,
        endpoint: Endpoint,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        endpoint.check_cleartext(request.headers())?;
        let deadline = Deadline::new(self.timeout, StageTimeouts::default());
        let io = self.dialer.open(&deadline, &endpoint, true).await?;
        let exchange = async {
            self.exchange(io, &request).await.map_err(|error| error.into_transport(endpoint.authority()))
        };
        deadline.run(ConnectStage::Response, exchange).await
    }

    async fn exchange(&self, io: BoxIo, request: &Request<Bytes>) -> Result<Response<Bytes>, Http1Error> {
        let mut http = Http1::new(io);
        http.write_request(request).await?;
        let head = http.read_response_head(HEAD_BYTES).await?;
        // RFC 9112 §6.3: an answer to HEAD states the length of a body that does not follow.
        let body = if request.method() == Method::HEAD {
            Bytes::new()
        } else {
            http.read_response_body(&head, self.max_body_bytes).await?.whole(self.max_body_bytes)?
        };
        Ok(head.map(|()| body))
    }
}

impl Requester for HttpClient {
    fn send(
        &self,
        endpoint: &Endpoint,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, TransportError>> + Send {
        Box::pin(self.run(endpoint.clone(), completed(endpoint, request)))
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The request as it goes out: the endpoint's headers where it has none of its own.
pub(crate) fn completed(endpoint: &Endpoint, request: Request<Bytes>) -> Request<Bytes> {
    let (own, body) = request.into_parts();
    let mut completed = match own.uri.path_and_query().map(|target| target.as_str()) {
        None | Some("/") => endpoint.request(),
        Some(target) => endpoint.request_for(target),
    };
    *completed.method_mut() = own.method;
    let headers = completed.headers_mut();
    for name in own.headers.keys() {
        headers.remove(name);
        for value in own.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    // Upgrades are a connector's; here one would leave a link that nobody holds.
    headers.remove(UPGRADE);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    *completed.body_mut() = body;
    completed
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use voxline_protocol::Secret;

    use super::*;
    use crate::memory::Network;
    use crate::{Acceptor, Connector, Exchange, WebSocketConnector, WebSocketListener, text_response};

    /// Serves one request by showing what arrived.
    async fn mirror(acceptor: &mut impl Acceptor) {
        let exchange = acceptor.accept().await.unwrap();
        let request = exchange.request();
        let key = request.headers()["authorization"].to_str().unwrap();
        let body = String::from_utf8_lossy(request.body());
        let seen = format!("{} {} {key} {body}", request.method(), request.uri());
        exchange.respond(text_response(StatusCode::CREATED, seen)).await.unwrap();
    }

    async fn post(requester: &impl Requester, url: &str) -> Result<Response<Bytes>, TransportError> {
        let endpoint = Endpoint::parse(url).unwrap().with_bearer(Secret::new("k").unwrap());
        let request = Request::post("/v1/sessions?x=1").body(Bytes::from("hello")).unwrap();
        requester.send(&endpoint, request).await
    }

    #[tokio::test]
    async fn a_request_is_the_same_over_a_socket_and_in_memory() {
        let mut socket = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ignored", socket.local_address());
        let client = HttpClient::new();
        let (over_socket, ()) = tokio::join!(post(&client, &url), mirror(&mut socket));

        let network = Network::new(1);
        let mut memory = network.listen("h").unwrap();
        let (in_memory, ()) = tokio::join!(post(&network, "http://h/ignored"), mirror(&mut memory));

        for response in [over_socket.unwrap(), in_memory.unwrap()] {
            assert_eq!(response.status(), StatusCode::CREATED);
            assert_eq!(response.body(), "POST /v1/sessions?x=1 Bearer k hello".as_bytes());
        }
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_an_error_that_names_it() {
        let mut socket = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", socket.local_address());
        let client = HttpClient::new().with_max_body_bytes(8);
        let (response, ()) = tokio::join!(post(&client, &url), mirror(&mut socket));
        assert!(matches!(response, Err(TransportError::TooLarge { max: 8, .. })), "{response:?}");
    }

    #[tokio::test]
    async fn a_key_is_not_sent_in_clear_and_names_of_this_machine_need_no_name_server() {
        let error = post(&HttpClient::new(), "http://speech.test/").await.unwrap_err();
        assert!(matches!(error, TransportError::Cleartext { .. }), "{error:?}");
        let connector = WebSocketConnector::new(
            Endpoint::parse("ws://speech.test/").unwrap().with_bearer(Secret::new("k").unwrap()),
        );
        let error = connector.connect().await.unwrap_err();
        assert!(matches!(error, TransportError::Cleartext { .. }), "{error:?}");

        let mut socket = WebSocketListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://speech.localhost:{}/", socket.local_address().port());
        let client = HttpClient::new();
        let (response, ()) = tokio::join!(post(&client, &url), mirror(&mut socket));
        assert_eq!(response.unwrap().status(), StatusCode::CREATED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_runs_into_the_deadline() {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", socket.local_addr().unwrap());
        let error = post(&HttpClient::new().with_timeout(Duration::from_secs(1)), &url).await.unwrap_err();
        assert!(matches!(error, TransportError::Timeout { stage: ConnectStage::Response, .. }), "{error:?}");
    }
}
