//! Where to connect and what to say there.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use thiserror::Error;
use voxline_protocol::{Code, is_loopback};

use crate::http1::names_a_secret;
use crate::{Key, TransportError};

/// A URL, the headers to send, and the credentials, all checked when given.
///
/// `Debug` and `Display` never show a credential, nor the value of a header or a query parameter
/// whose name sounds like one. No socket tells a credential, nor a header whose name sounds like
/// one, to another machine unencrypted: [`TransportError::Cleartext`]. A network in
/// [`memory`](crate::memory) has no wire, and carries them anywhere.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_transport::Endpoint;
///
/// let endpoint = Endpoint::parse("wss://api.example.com/v1/tts?model=ada")?
///     .with_header("x-session-id", "call-17")?
///     .with_bearer(Secret::new("key-123").unwrap());
/// assert_eq!(endpoint.to_string(), "wss://api.example.com/v1/tts?model=ada");
/// assert!(!format!("{endpoint:?}").contains("key-123"));
///
/// let error = Endpoint::parse("ftp://example.com").unwrap_err();
/// assert_eq!(error.to_string(), "scheme is `ftp`; use ws, wss, http or https");
/// # Ok::<(), voxline_transport::EndpointError>(())
/// ```
#[derive(Clone)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    target: String,
    headers: HeaderMap,
    credentials: Vec<(Carrier, Key)>,
}

impl Endpoint {
    /// Takes a URL apart. White space around it is trimmed; `http` and `https` mean the same as
    /// `ws` and `wss` to a WebSocket connector.
    ///
    /// # Errors
    /// The URL does not parse, is longer than 16 KiB, has another scheme, or holds a user name or a fragment.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let url = url.trim();
        if url.len() > URL_BYTES {
            let what = format!("{} bytes are more than the {URL_BYTES} that servers take", url.len());
            return Err(EndpointError::Url { seen: excerpt(url), what });
        }
        if url.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| EndpointError::Url {
            seen: excerpt(url),
            what: error.to_string(),
        })?;
        let scheme = match uri.scheme_str() {
            Some(scheme) => Scheme::parse(scheme)?,
            None => return Err(EndpointError::Scheme { seen: String::new() }),
        };
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return Err(EndpointError::Url { seen: excerpt(url), what: "no host".to_owned() });
        };
        if authority.as_str().contains('@') {
            return Err(EndpointError::UserInfo);
        }
        // `http` gives no port where the text after the host is none.
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(EndpointError::Url { seen: excerpt(url), what: "the port is not one".to_owned() });
        }
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("voxline/", env!("CARGO_PKG_VERSION"))));
        Ok(Self {
            scheme,
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or_else(|| scheme.default_port()),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            headers,
            credentials: Vec::new(),
        })
    }

    /// Adds a header, or replaces it.
    ///
    /// # Errors
    /// The name or the value cannot be one, or the header is the handshake's own.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, EndpointError> {
        let name = header_name(name)?;
        let mut header = HeaderValue::from_str(value).map_err(|_| EndpointError::Header {
            name: name.to_string(),
            what: "value holds a control character; trim it",
        })?;
        header.set_sensitive(names_a_secret(name.as_str()));
        self.headers.insert(name, header);
        Ok(self)
    }

    /// Sends `Authorization: Bearer` with this key.
    #[must_use]
    pub fn with_bearer(self, key: impl Into<Key>) -> Self {
        self.with_credential(Carrier::Bearer, key.into())
    }

    /// Sends the key in a header of its own, such as `X-API-Key`.
    ///
    /// # Errors
    /// The name cannot be a header's, or the header is the handshake's own.
    pub fn with_secret_header(self, name: &str, key: impl Into<Key>) -> Result<Self, EndpointError> {
        let name = header_name(name)?;
        Ok(self.with_credential(Carrier::Header(name), key.into()))
    }

    /// Sends the key as the query parameter `token`, for peers that read no headers.
    ///
    /// URLs end in access logs; prefer [`Self::with_bearer`].
    #[must_use]
    pub fn with_token(self, key: impl Into<Key>) -> Self {
        self.with_credential(Carrier::QueryToken, key.into())
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Wss)
    }

    /// Refuses if the endpoint is not encrypted, not on this machine, and would be told a key, be it by itself or by
    /// `more` headers. A signature proves a key and does not hold it.
    pub(crate) fn check_cleartext(&self, more: &HeaderMap) -> Result<(), TransportError> {
        let holds_key = |(name, value): (&HeaderName, &HeaderValue)| {
            value.is_sensitive() && !name.as_str().contains("signature")
        };
        let tells = !self.credentials.is_empty() || self.headers.iter().chain(more).any(holds_key);
        if tells && !self.is_secure() && !is_loopback(&self.host) {
            return Err(TransportError::Cleartext { authority: self.authority() });
        }
        Ok(())
    }

    /// The host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port dialled.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as errors name them.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// A `GET` with every header and credential of the moment.
    pub(crate) fn request(&self) -> Request<Bytes> {
        self.request_for(&self.target)
    }

    /// The same for another path and query, which must be those of a URI.
    pub(crate) fn request_for(&self, target: &str) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        let mut target = target.to_owned();
        let mut headers = self.headers.clone();
        for (carrier, key) in &self.credentials {
            match carrier {
                Carrier::Bearer => {
                    insert_secret(&mut headers, AUTHORIZATION, &format!("Bearer {}", key.expose()));
                }
                Carrier::Header(name) => insert_secret(&mut headers, name.clone(), &key.expose()),
                Carrier::QueryToken => {
                    target.push(if target.contains('?') { '&' } else { '?' });
                    target.push_str("token=");
                    percent_encode(&key.expose(), &mut target);
                }
            }
        }
        insert_plain(&mut headers, HOST, &self.host_header());
        let Ok(uri) = Uri::try_from(target) else {
            unreachable!("the target was a URI's, and what is added is percent-encoded")
        };
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
    }

    fn host_header(&self) -> String {
        let authority = self.authority();
        match authority.rsplit_once(':') {
            Some((host, _)) if self.port == self.scheme.default_port() => host.to_owned(),
            _ => authority,
        }
    }

    fn with_credential(mut self, carrier: Carrier, key: Key) -> Self {
        self.credentials.retain(|(other, _)| *other != carrier);
        self.credentials.push((carrier, key));
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host_header())?;
        f.write_str(&redacted(&self.target))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &format_args!("{self}"))
            .field("headers", &self.headers)
            .field("credentials", &self.credentials)
            .finish()
    }
}

/// A URL or a header that cannot be used as it was given.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// A `#` and what follows: a fragment is never sent, so whatever it was meant to say is lost.
    #[error("URL holds a `#`; leave the fragment out, or write the character as %23")]
    Fragment,
    /// A header that cannot be sent.
    #[error("header `{name}`: {what}")]
    Header {
        /// The header's name as given.
        name: String,
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// A scheme we do not speak, or none.
    #[error("scheme is `{seen}`; use ws, wss, http or https")]
    Scheme {
        /// The scheme seen.
        seen: String,
    },
    /// Text that is no URL.
    #[error("`{seen}` is not a URL: {what}")]
    Url {
        /// The text, shortened, without its query.
        seen: String,
        /// What the parser missed.
        what: String,
    },
    /// `user:password@` before the host.
    #[error("URL holds a user name; give credentials by `with_bearer` or `with_secret_header`")]
    UserInfo,
}

impl EndpointError {
    /// The stable name of this error; its page is in [`CODES`](crate::CODES).
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new(match self {
            Self::Fragment | Self::Scheme { .. } | Self::Url { .. } | Self::UserInfo => "transport/bad-url",
            Self::Header { .. } => "transport/bad-header",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, EndpointError> {
        [Self::Http, Self::Https, Self::Ws, Self::Wss]
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| EndpointError::Scheme { seen: text.to_owned() })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http | Self::Ws => 80,
            Self::Https | Self::Wss => 443,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Carrier {
    Bearer,
    Header(HeaderName),
    QueryToken,
}

/// Host and port in one text, an IPv6 address in brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn header_name(name: &str) -> Result<HeaderName, EndpointError> {
    let wrong = |what| EndpointError::Header { name: name.to_owned(), what };
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| wrong("not a header name; use letters, digits and hyphens"))?;
    let reserved =
        HANDSHAKE_HEADERS.contains(&parsed.as_str()) || parsed.as_str().starts_with("sec-websocket-");
    if reserved { Err(wrong("set by the handshake itself; leave it out")) } else { Ok(parsed) }
}

fn insert_secret(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    insert_plain(headers, name.clone(), value);
    if let Some(value) = headers.get_mut(name) {
        value.set_sensitive(true);
    }
}

fn insert_plain(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let Ok(value) = HeaderValue::from_str(value) else {
        unreachable!("a `Secret` is printable ASCII, and a host came out of a parsed URI")
    };
    headers.insert(name, value);
}

/// RFC 3986 §2.3: everything but the unreserved characters is escaped.
fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
}

/// A path and query whose secret-sounding parameters are hidden.
pub(crate) fn redacted(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let shown: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if names_a_secret(name) => format!("{name}=.."),
            Some(_) | None => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", shown.join("&"))
}

/// The start of a text that was meant to be a URL, without what could be a credential.
fn excerpt(url: &str) -> String {
    let shown = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    let shown = shown.split_once('?').map_or(shown, |(path, _)| path);
    let mut text: String = shown.chars().take(EXCERPT_CHARS).collect();
    if text.len() < url.len() {
        text.push('…');
    }
    text
}

/// Written by the handshake, or decided by it.
const HANDSHAKE_HEADERS: &[&str] =
    &["connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"];
/// RFC 9110 §4.1 asks servers for 8,000 at least, and few take more.
const URL_BYTES: usize = 16 << 10;
const EXCERPT_CHARS: usize = 60;

#[cfg(test)]
mod tests;
