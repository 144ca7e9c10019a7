//! HTTP proxies: a tunnel asked for with `CONNECT`, RFC 9110 §9.3.6.

use std::fmt;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request};
use tokio::net::TcpStream;
use voxline_protocol::Secret;

use crate::http1::{HEAD_BYTES, Http1, Http1Error};
use crate::{Endpoint, EndpointError, TransportError};

/// An HTTP proxy, and what to tell it.
///
/// ```
/// use voxline_transport::Proxy;
///
/// let proxy = Proxy::parse("http://proxy.example.com:3128")?;
/// assert_eq!(proxy.authority(), "proxy.example.com:3128");
/// # Ok::<(), voxline_transport::EndpointError>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    endpoint: Endpoint,
    credentials: Option<(String, Secret)>,
}

impl Proxy {
    /// Takes `http://host:port`; the tunnel through it may be encrypted, the way to it is not.
    ///
    /// # Errors
    /// The URL does not parse, has another scheme, or holds a user name; see [`Self::with_basic`].
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::parse(url)?;
        if endpoint.is_secure() {
            return Err(EndpointError::Scheme { seen: "https".to_owned() });
        }
        Ok(Self { endpoint, credentials: None })
    }

    /// Sends a user name and a password: RFC 7617.
    #[must_use]
    pub fn with_basic(mut self, user: &str, password: Secret) -> Self {
        self.credentials = Some((user.to_owned(), password));
        self
    }

    /// Host and port of the proxy.
    #[must_use]
    pub fn authority(&self) -> String {
        self.endpoint.authority()
    }

    pub(crate) fn host(&self) -> &str {
        self.endpoint.host()
    }

    pub(crate) const fn port(&self) -> u16 {
        self.endpoint.port()
    }

    /// Asks for a tunnel to `authority`; the stream then speaks with the server behind it.
    pub(crate) async fn tunnel(&self, tcp: TcpStream, authority: &str) -> Result<TcpStream, TransportError> {
        let failed = |error: Http1Error| error.into_transport(self.authority());
        let mut http = Http1::new(tcp);
        http.write_request(&self.request(authority)).await.map_err(failed)?;
        let head = http.read_response_head(HEAD_BYTES).await.map_err(failed)?;
        if !head.status().is_success() {
            return Err(TransportError::ProxyRefused {
                proxy: self.authority(),
                status: head.status().as_u16(),
            });
        }
        let (tcp, early) = http.into_parts();
        // The client speaks first in TLS and in HTTP, so these bytes are not the server's.
        if early.is_empty() {
            Ok(tcp)
        } else {
            Err(failed(Http1Error::Bad("it sent data before the tunnel")))
        }
    }

    fn request(&self, authority: &str) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::CONNECT;
        let (Ok(uri), Ok(host)) = (authority.parse(), HeaderValue::from_str(authority)) else {
            unreachable!("an `Endpoint` took its authority from a URI")
        };
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        if let Some((user, password)) = &self.credentials {
            let pair = format!("{user}:{}", password.expose());
            let encoded = base64_simd::STANDARD.encode_to_string(pair.as_bytes());
            let Ok(mut value) = HeaderValue::from_str(&format!("Basic {encoded}")) else {
                unreachable!("base64 is printable ASCII")
            };
            value.set_sensitive(true);
            headers.insert(PROXY_AUTHORIZATION, value);
        }
        request
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("authority", &self.authority())
            .field("credentials", &self.credentials.is_some())
            .finish()
    }
}
