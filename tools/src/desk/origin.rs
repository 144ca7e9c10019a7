//! The public address of a server, as those who call it know it.

use bytes::Bytes;
use http::Request;
use http::header::HOST;

/// How a server learns its public address: what Plivo signs, and what the answer XML must name.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Scheme and authority, such as `https://voice.example.com`.
    Fixed(String),
    /// What the request asked for: `http` for this machine, `https` for every other name.
    FromRequest {
        /// Believes `X-Forwarded-Host` and `X-Forwarded-Proto`. Only behind a proxy that sets them itself: anybody
        /// else who sets them chooses where the calls go.
        forwarded: bool,
    },
}

impl Origin {
    /// Scheme and authority for an answer to `request`.
    pub(super) fn base(&self, request: &Request<Bytes>) -> String {
        match self {
            Self::Fixed(base) => base.clone(),
            Self::FromRequest { forwarded } => {
                let told = |name: &str| {
                    let value = forwarded.then(|| request.headers().get(name)).flatten()?.to_str().ok()?;
                    value.split(',').next().map(str::trim).filter(|first| !first.is_empty())
                };
                let host = told("x-forwarded-host").or_else(|| asked_host(request)).unwrap_or("localhost");
                let own = if is_loopback(host) { "http" } else { "https" };
                format!("{}://{host}", told("x-forwarded-proto").unwrap_or(own))
            }
        }
    }
}

/// The `Host` of a request, with its port.
pub(super) fn asked_host(request: &Request<Bytes>) -> Option<&str> {
    request.headers().get(HOST)?.to_str().ok()
}

/// Whether a host, with or without a port, is this machine by name.
pub(super) fn is_loopback(host: &str) -> bool {
    // An IPv6 address has colons of its own, and stands in brackets here.
    let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
    let (name, rest) = host.split_at(end.unwrap_or(host.len()));
    (rest.is_empty() || rest.starts_with(':')) && voxline_protocol::is_loopback(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_names_are_believed_only_when_told_to() {
        let request = Request::get("/answer")
            .header(HOST, "10.0.0.5:8080")
            .header("x-forwarded-host", "voice.example.com, proxy.internal")
            .header("x-forwarded-proto", "https")
            .body(Bytes::new())
            .unwrap();
        for (origin, base) in [
            (Origin::FromRequest { forwarded: true }, "https://voice.example.com"),
            (Origin::FromRequest { forwarded: false }, "https://10.0.0.5:8080"),
            (Origin::Fixed("https://a.example".to_owned()), "https://a.example"),
        ] {
            assert_eq!(origin.base(&request), base, "{origin:?}");
        }
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.example.com", "10.0.0.1", "[2001:db8::1]:80", "127.example.com", "::1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
