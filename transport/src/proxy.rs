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
    /// User name and password as RFC 7617 sends them, marked as sensitive.
    credentials: Option<HeaderValue>,
}

impl Proxy {
    /// Takes `http://host:port` or `http://user:password@host:port`, the two perhaps percent-encoded; the
    /// tunnel through it may be encrypted, the way to it is not.
    ///
    /// # Errors
    /// The URL does not parse, or has another scheme.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let (url, user_info) = split_user_info(url);
        let endpoint = Endpoint::parse(&url)?;
        if endpoint.is_secure() {
            return Err(EndpointError::Scheme { seen: "https".to_owned() });
        }
        let credentials = user_info.map(|info| {
            let (user, password) = info.split_once(':').unwrap_or((&info, ""));
            basic(&percent_decoded(user), &percent_decoded(password))
        });
        Ok(Self { endpoint, credentials })
    }

    /// The proxy that the environment names for this endpoint: `HTTPS_PROXY` for encrypted links
    /// and `HTTP_PROXY` for others, unless `NO_PROXY` lists the host, its domain, or `*`. Each is
    /// read in lower case first, as curl does.
    ///
    /// # Errors
    /// The variable holds something that [`Self::parse`] refuses.
    pub fn from_environment(endpoint: &Endpoint) -> Result<Option<Self>, EndpointError> {
        Self::chosen(endpoint, |name| std::env::var(name).ok())
    }

    fn chosen(
        endpoint: &Endpoint,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, EndpointError> {
        let either = |name: &str| {
            let set = variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
            set.filter(|value| !value.trim().is_empty())
        };
        let proxy = either(if endpoint.is_secure() { "https_proxy" } else { "http_proxy" });
        let direct = either("no_proxy").is_some_and(|list| is_listed(endpoint.host(), &list));
        proxy.filter(|_| !direct).map(|url| Self::parse(&url)).transpose()
    }

    /// Sends a user name and a password: RFC 7617.
    #[must_use]
    pub fn with_basic(mut self, user: &str, password: &Secret) -> Self {
        self.credentials = Some(basic(user.as_bytes(), password.expose().as_bytes()));
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
        if let Some(credentials) = &self.credentials {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
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

fn basic(user: &[u8], password: &[u8]) -> HeaderValue {
    let encoded = base64_simd::STANDARD.encode_to_string([user, b":", password].concat());
    let Ok(mut value) = HeaderValue::from_str(&format!("Basic {encoded}")) else {
        unreachable!("base64 is printable ASCII")
    };
    value.set_sensitive(true);
    value
}

/// RFC 3986 §2.1; a `%` that begins no escape stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// The URL without its user name and password, and those, still percent-encoded.
fn split_user_info(url: &str) -> (String, Option<String>) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (info, host) = rest.rsplit_once('@')?;
        Some((format!("{scheme}://{host}"), info.to_owned()))
    });
    parts.map_or_else(|| (url.to_owned(), None), |(url, info)| (url, Some(info)))
}

/// Whether a `NO_PROXY` list names this host: itself, a domain it is in, or everything.
fn is_listed(host: &str, list: &str) -> bool {
    list.split(',').map(|entry| entry.trim().trim_start_matches('.')).filter(|entry| !entry.is_empty()).any(
        |entry| {
            let domain = host.len().checked_sub(entry.len()).map(|at| host.split_at_checked(at));
            entry == "*"
                || domain.flatten().is_some_and(|(before, end)| {
                    end.eq_ignore_ascii_case(entry) && (before.is_empty() || before.ends_with('.'))
                })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, environment: &[(&str, &str)]) -> Option<String> {
        let lookup = |name: &str| {
            environment.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        };
        let endpoint = Endpoint::parse(url).unwrap();
        Proxy::chosen(&endpoint, lookup).unwrap().map(|proxy| proxy.authority())
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_kind_of_link() {
        let both = [("https_proxy", "http://a:1"), ("HTTP_PROXY", "http://b:2")];
        for (url, environment, expected) in [
            ("wss://api.example.com/", &both[..], Some("a:1")),
            ("ws://api.example.com/", &both[..], Some("b:2")),
            ("wss://api.example.com/", &[("https_proxy", " ")], None),
            (
                "wss://api.example.com/",
                &[("https_proxy", "http://a:1"), ("no_proxy", "x, .example.com")],
                None,
            ),
            ("wss://api.example.com/", &[("https_proxy", "http://a:1"), ("no_proxy", "*")], None),
            (
                "wss://badexample.com/",
                &[("https_proxy", "http://a:1"), ("no_proxy", "example.com")],
                Some("a:1"),
            ),
        ] {
            assert_eq!(chosen(url, environment).as_deref(), expected, "{url} {environment:?}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_used_and_never_shown() {
        let proxy = Proxy::parse("http://me:canary@proxy.test:3128").unwrap();
        assert!(!format!("{proxy:?}").contains("canary"));
        assert_eq!(proxy.request("h:443").headers()[PROXY_AUTHORIZATION], "Basic bWU6Y2FuYXJ5");
        assert!(Proxy::parse("socks5://proxy.test").is_err());
    }

    #[test]
    fn a_user_and_a_password_are_what_their_escapes_say() {
        for (user_info, pair) in [
            ("me:p%40ss%3aword", "me:p@ss:word"),
            ("d%C3%B6main%5Cme:secret", "dömain\\me:secret"),
            ("me", "me:"),
            ("me:", "me:"),
            ("me:100%", "me:100%"),
            ("me:%zz", "me:%zz"),
        ] {
            let proxy = Proxy::parse(&format!("http://{user_info}@proxy.test:3128")).unwrap();
            let expected = base64_simd::STANDARD.encode_to_string(pair);
            let request = proxy.request("h:443");
            assert_eq!(request.headers()[PROXY_AUTHORIZATION], format!("Basic {expected}"), "{user_info}");
        }
    }
}
