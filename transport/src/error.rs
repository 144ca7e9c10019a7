//! How a link can fail, whether trying again can help, and the page of every failure.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio_rustls::rustls;
use voxline_protocol::{Code, CodeEntry};

/// A link could not be opened, or broke.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum TransportError {
    /// A key would have been sent unencrypted to another machine; nothing was dialled.
    #[error("{authority} would be told the key in clear; use wss:// or https://")]
    Cleartext {
        /// Host and port that were to be dialled.
        authority: String,
    },
    /// A message was given to a link whose end had already been sent or received.
    #[error("link is closed; open a new one")]
    Closed,
    /// The peer's bytes are not WebSocket frames, or not valid ones.
    #[error("peer broke WebSocket framing")]
    Framing(#[source] BoxError),
    /// What answered does not speak HTTP.
    #[error(
        "{authority} does not answer in HTTP: {what}; check the host, the port, and whether TLS is expected"
    )]
    NotHttp {
        /// Host and port dialled.
        authority: String,
        /// What was wrong in its answer.
        what: &'static str,
    },
    /// The server switched protocols, but not to WebSocket.
    #[error("{authority} does not speak WebSocket: {what}; check the URL's host, port and path")]
    NotWebSocket {
        /// Host and port dialled.
        authority: String,
        /// What was wrong in its answer.
        what: &'static str,
    },
    /// The proxy would not open a tunnel.
    #[error("proxy {proxy} refused a tunnel: HTTP {status}")]
    ProxyRefused {
        /// The proxy's host and port.
        proxy: String,
        /// Its HTTP status.
        status: u16,
    },
    /// The server answered the upgrade with something else than 101.
    #[error("server refused the upgrade: HTTP {status}{}", Words(body))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// How long the server asks us to stay away.
        retry_after: Option<Duration>,
        /// The server's own words, cut at [`TransportError::BODY_BYTES`].
        body: String,
    },
    /// The link ended without a close frame.
    #[error("connection was reset")]
    Reset(#[source] io::Error),
    /// A step of connecting took too long.
    #[error("{stage} took longer than {limit:?}")]
    Timeout {
        /// The step that was under way.
        stage: ConnectStage,
        /// The limit that ran out: the step's own, or the one over all steps.
        limit: Duration,
    },
    /// The peer's certificate or its TLS is not acceptable.
    #[error("TLS with {authority} failed{}", tls_remedy(source.as_ref()))]
    Tls {
        /// Host and port dialled.
        authority: String,
        /// What the TLS layer found.
        #[source]
        source: BoxError,
    },
    /// A message, or the body of a response, is larger than the configuration allows.
    #[error("message of {size} bytes exceeds the limit of {max}")]
    TooLarge {
        /// Its size in bytes, as stated by the peer or as much as was seen.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// No TCP connection came about: no such name, nobody listening, no route.
    #[error("could not reach {authority}")]
    Unreachable {
        /// Host and port dialled.
        authority: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing was heard from the peer, pongs included.
    #[error("nothing heard from the peer for {silent:?}")]
    Unresponsive {
        /// Since its last sign of life.
        silent: Duration,
    },
}

impl TransportError {
    /// Bytes of a refusal's body an error keeps.
    pub const BODY_BYTES: usize = 512;

    /// What a supervisor should do next.
    ///
    /// A refusal is final where the request itself is at fault (most of 4xx); the server's wish
    /// to be left alone for a time wins over any backoff. A certificate that does not verify is
    /// final too: only a person can change it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Cleartext { .. } | Self::NotHttp { .. } | Self::NotWebSocket { .. } => Retry::Never,
            Self::ProxyRefused { status, .. } => retry_status(*status, None),
            Self::Refused { status, retry_after, .. } => retry_status(*status, *retry_after),
            Self::Tls { source, .. } if is_bad_certificate(source.as_ref()) => Retry::Never,
            Self::Closed
            | Self::Framing(_)
            | Self::Reset(_)
            | Self::Timeout { .. }
            | Self::Tls { .. }
            | Self::TooLarge { .. }
            | Self::Unreachable { .. }
            | Self::Unresponsive { .. } => Retry::AfterBackoff,
        }
    }

    /// The stable name of this error; its page is in [`CODES`].
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new(match self {
            Self::Cleartext { .. } => "transport/cleartext",
            Self::Closed => "transport/closed",
            Self::Framing(_) => "transport/framing",
            Self::NotHttp { .. } => "transport/not-http",
            Self::NotWebSocket { .. } => "transport/not-websocket",
            Self::ProxyRefused { .. } => "transport/proxy-refused",
            Self::Refused { .. } => "transport/refused",
            Self::Reset(_) => "transport/reset",
            Self::Timeout { .. } => "transport/timeout",
            Self::Tls { .. } => "transport/tls",
            Self::TooLarge { .. } => "transport/too-large",
            Self::Unreachable { .. } => "transport/unreachable",
            Self::Unresponsive { .. } => "transport/unresponsive",
        })
    }

    pub(crate) fn reset(words: &'static str) -> Self {
        Self::Reset(io::Error::new(io::ErrorKind::ConnectionReset, words))
    }

    pub(crate) fn refused(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let body = &body[..body.len().min(Self::BODY_BYTES)];
        Self::Refused { status, retry_after, body: String::from_utf8_lossy(body).trim().to_owned() }
    }
}

/// Which step of connecting was under way.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectStage {
    /// Looking the host name up.
    Dns,
    /// Opening the TCP connection, to the server or to the proxy.
    Tcp,
    /// Asking the proxy for a tunnel.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The WebSocket upgrade: the request and the server's answer.
    Upgrade,
    /// An HTTP request that is no upgrade: sending it, and the whole answer.
    Response,
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "name lookup",
            Self::Tcp => "TCP connect",
            Self::Proxy => "proxy tunnel",
            Self::Tls => "TLS handshake",
            Self::Upgrade => "WebSocket upgrade",
            Self::Response => "HTTP response",
        })
    }
}

/// Whether and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a supervisor must have an answer to each")]
pub enum Retry {
    /// Not before this long: the server said so.
    After(Duration),
    /// As the backoff says.
    AfterBackoff,
    /// The same attempt cannot succeed.
    Never,
}

/// A cause whose type is nobody's contract.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// `: words` where there are any.
struct Words<'a>(&'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

fn retry_status(status: u16, retry_after: Option<Duration>) -> Retry {
    match (status, retry_after) {
        // RFC 9110 §15.5: the request is at fault, except for "too slow", "conflict", "too early" (RFC 8470)
        // and "too many" (RFC 6585).
        (408 | 409 | 425 | 429 | 500..=599, Some(wait)) => Retry::After(wait),
        (408 | 409 | 425 | 429 | 500..=599, None) => Retry::AfterBackoff,
        (..) => Retry::Never,
    }
}

fn is_bad_certificate(error: &(dyn StdError + 'static)) -> bool {
    matches!(tls_finding(error), Some(rustls::Error::InvalidCertificate(_)))
}

/// rustls hands its errors through as the inner error of an `io::Error`.
fn tls_finding<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// What to do about what rustls found, where it is known.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum; for the rest there is no advice")]
fn tls_remedy(error: &(dyn StdError + 'static)) -> &'static str {
    use rustls::CertificateError as Found;

    match tls_finding(error) {
        Some(rustls::Error::InvalidCertificate(found)) => match found {
            Found::Expired | Found::ExpiredContext { .. } => {
                "; have the certificate renewed, or set this machine's clock right"
            }
            Found::NotValidYet | Found::NotValidYetContext { .. } => "; set this machine's clock right",
            Found::NotValidForName | Found::NotValidForNameContext { .. } => {
                "; use a host name that the certificate is for"
            }
            Found::UnknownIssuer => {
                "; give a private issuer's certificate as an extra root, or have the server send its whole chain"
            }
            _ => "",
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            "; check that the port speaks TLS, or use ws:// or http:// where it does not"
        }
        Some(_) | None => "",
    }
}

/// A page for every code of this crate.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::new(
        "transport/bad-certificate",
        false,
        "A certificate that was configured cannot be used.",
        "Give the chain as PEM, the server's own certificate first, and the key that belongs to it.",
    ),
    CodeEntry::new(
        "transport/bad-header",
        false,
        "A header that was configured cannot be sent.",
        "Change the named header as the message says; no connection was tried.",
    ),
    CodeEntry::new(
        "transport/bad-key",
        false,
        "The private key that was configured for TLS cannot be read.",
        "Give the key as unencrypted PEM: PKCS #8, PKCS #1 or SEC1.",
    ),
    CodeEntry::new(
        "transport/bad-url",
        false,
        "A URL that was configured cannot be dialled.",
        "Give ws://, wss://, http:// or https:// with a host, without a user name and without a fragment.",
    ),
    CodeEntry::new(
        "transport/cleartext",
        false,
        "A key would have been sent unencrypted to another machine, so nothing was dialled.",
        "Use wss:// or https://; ws:// and http:// carry keys to 127.0.0.1, [::1], localhost and names under .localhost only.",
    ),
    CodeEntry::new(
        "transport/closed",
        true,
        "A message was handed to a link that had already ended.",
        "Open a new link; keep reading an ending one only until its close arrives.",
    ),
    CodeEntry::new(
        "transport/framing",
        true,
        "The peer sent bytes that are not valid WebSocket frames, or text that is not UTF-8.",
        "Look for a proxy that changes traffic; record the connection and show it to the peer's vendor.",
    ),
    CodeEntry::new(
        "transport/listen",
        false,
        "The address cannot be listened on.",
        "Choose a free port, or 0 to be given one; ports below 1024 need rights, and the host must be one of ours.",
    ),
    CodeEntry::new(
        "transport/not-http",
        false,
        "What answered does not speak HTTP, so it is not the server that was meant.",
        "Check the host and the port, and whether the scheme should be wss:// or https://.",
    ),
    CodeEntry::new(
        "transport/not-websocket",
        false,
        "The server switched protocols without completing the WebSocket handshake.",
        "Check the URL's host, port and path; something else than the expected server answered.",
    ),
    CodeEntry::new(
        "transport/proxy-refused",
        false,
        "The HTTP proxy would not open a tunnel to the server.",
        "On 407 give the proxy's credentials; on 403 ask for the host to be allowed; else check the proxy's health.",
    ),
    CodeEntry::new(
        "transport/refused",
        false,
        "The server answered the WebSocket upgrade with an HTTP error.",
        "Read the server's words: 401 and 403 mean the key, 400 and 404 the URL, 429 the rate; 5xx pass by themselves.",
    ),
    CodeEntry::new(
        "transport/reset",
        true,
        "The connection ended without a close frame.",
        "The network or the peer died; sessions reconnect by themselves. If it repeats at one age, look for an idle limit.",
    ),
    CodeEntry::new(
        "transport/timeout",
        true,
        "One step of connecting took longer than its limit; the message names the step.",
        "Name lookup and TCP point at the network, TLS and upgrade at the server; raise the limit only for a slow path.",
    ),
    CodeEntry::new(
        "transport/tls",
        false,
        "The TLS handshake failed; the cause says why.",
        "Check the certificate's name, dates and issuer; give a private issuer as an extra root certificate.",
    ),
    CodeEntry::new(
        "transport/too-large",
        false,
        "A message is larger than the configured limit.",
        "Send audio in chunks of 20 to 100 ms; raise `max_message_size` only if the peer's messages are honestly larger.",
    ),
    CodeEntry::new(
        "transport/unreachable",
        true,
        "No TCP connection to the server came about.",
        "Check the host name, the port, the firewall, and whether a proxy is needed.",
    ),
    CodeEntry::new(
        "transport/unresponsive",
        true,
        "The peer answered no ping: the connection is half open, or the peer is stuck.",
        "Sessions reconnect by themselves; if it repeats, the path drops idle connections or the peer is overloaded.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_page() {
        let io = || io::Error::other("x");
        let errors = [
            TransportError::Cleartext { authority: String::new() },
            TransportError::Closed,
            TransportError::Framing(Box::new(io())),
            TransportError::NotHttp { authority: String::new(), what: "" },
            TransportError::NotWebSocket { authority: String::new(), what: "" },
            TransportError::ProxyRefused { proxy: String::new(), status: 407 },
            TransportError::refused(401, None, b""),
            TransportError::Reset(io()),
            TransportError::Timeout { stage: ConnectStage::Dns, limit: Duration::ZERO },
            TransportError::Tls { authority: String::new(), source: Box::new(io()) },
            TransportError::TooLarge { size: 2, max: 1 },
            TransportError::Unreachable { authority: String::new(), source: io() },
            TransportError::Unresponsive { silent: Duration::ZERO },
        ];
        for code in errors.iter().map(TransportError::code) {
            assert_eq!(CODES.iter().filter(|entry| entry.code == code).count(), 1, "{code}");
        }
        let mut codes: Vec<_> = CODES.iter().map(|entry| entry.code).collect();
        let sorted = codes.is_sorted();
        codes.dedup();
        assert!(sorted && codes.len() == CODES.len(), "pages are in order and unique");
    }

    #[test]
    fn the_error_stays_small() {
        assert!(size_of::<TransportError>() <= 64, "{}", size_of::<TransportError>());
    }

    #[test]
    fn refusals_are_final_unless_waiting_helps() {
        let second = Duration::from_secs(1);
        for (status, retry_after, expected) in [
            (301, None, Retry::Never),
            (400, None, Retry::Never),
            (401, Some(second), Retry::Never),
            (403, None, Retry::Never),
            (404, None, Retry::Never),
            (408, None, Retry::AfterBackoff),
            (409, None, Retry::AfterBackoff),
            (429, None, Retry::AfterBackoff),
            (429, Some(second), Retry::After(second)),
            (503, Some(second), Retry::After(second)),
            (500, None, Retry::AfterBackoff),
        ] {
            let error = TransportError::Refused { status, retry_after, body: String::new() };
            assert_eq!(error.retry(), expected, "{status} {retry_after:?}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_servers_words_up_to_the_limit() {
        let error = TransportError::refused(401, None, b" {\"error\":\"bad key\"}\n");
        assert_eq!(error.to_string(), r#"server refused the upgrade: HTTP 401: {"error":"bad key"}"#);
        let TransportError::Refused { body, .. } = TransportError::refused(500, None, &[b'x'; 4096]) else {
            panic!("not a refusal");
        };
        assert_eq!(body.len(), TransportError::BODY_BYTES);
    }
}
