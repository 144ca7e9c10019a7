//! Addresses of services that are told a key: encrypted, or on this machine.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use thiserror::Error;

use crate::Code;

/// Where a service is that is told a key: the scheme and the host in front of every path, perhaps with a prefix.
///
/// A key in clear is anybody's on the way. So it is `https://` or `wss://`, or a host [of this machine](is_loopback),
/// from which nothing leaves. A service inside a test's memory is of this machine too: call it `plivo.localhost`.
///
/// ```
/// use voxline_protocol::BaseUrl;
///
/// assert_eq!(BaseUrl::parse("https://api.example.com/")?.as_str(), "https://api.example.com");
/// assert!(BaseUrl::parse("http://127.0.0.1:8080").is_ok());
/// assert!(BaseUrl::parse("ws://speech.localhost").is_ok());
///
/// let error = BaseUrl::parse("http://api.example.com").unwrap_err();
/// assert_eq!(error.code().as_str(), "address/cleartext");
/// # Ok::<(), voxline_protocol::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Checks an address. White space around it and slashes at its end are left out.
    ///
    /// # Errors
    /// It has no scheme of `https`, `wss`, `http` or `ws`, no host, a user name, a query or a fragment; it is longer
    /// than 2,048 bytes; or a key would go there in clear.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let invalid = || AddressError::Invalid { seen: without_secrets(text) };
        let base = text.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_graphic() && !r#"?#@"<>\\"#.contains(c);
        if base.len() > MAX_BYTES || !base.chars().all(is_plain) {
            return Err(invalid());
        }
        let uri: Uri = base.parse().map_err(|_| invalid())?;
        let authority =
            uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(invalid)?;
        // `http` gives no port where the text after the host is none.
        if authority.port_u16().is_none() && authority.as_str() != authority.host() {
            return Err(invalid());
        }
        match uri.scheme_str().unwrap_or_default().to_ascii_lowercase().as_str() {
            "https" | "wss" => {}
            "http" | "ws" if is_loopback(authority.host()) => {}
            "http" | "ws" => return Err(AddressError::Cleartext { seen: without_secrets(text) }),
            _ => return Err(invalid()),
        }
        Ok(Self(base.to_owned()))
    }

    /// An address of ours that was checked by whoever wrote it down.
    pub(crate) fn known(url: &'static str) -> Self {
        Self(url.to_owned())
    }

    /// The address, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address that no key is sent to.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// A key would travel unencrypted.
    #[error(
        "`{seen}` would be told the key in clear; use https:// or wss://, or a host of this machine: 127.0.0.1, [::1], localhost, or a name under .localhost"
    )]
    Cleartext {
        /// The address, without what may be a key.
        seen: String,
    },
    /// Paths cannot follow it.
    #[error(
        "`{seen}` is no base address; give a scheme and a host, such as https://api.example.com, without user, query and fragment"
    )]
    Invalid {
        /// The address, without what may be a key.
        seen: String,
    },
}

impl AddressError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Cleartext { .. } => Code::new("address/cleartext"),
            Self::Invalid { .. } => Code::new("address/invalid"),
        }
    }
}

/// Whether a host, by its name or address alone, is this machine: `localhost` and the names under `.localhost`, which
/// RFC 6761 §6.3 keeps for it, 127.0.0.0/8, and `::1` with or without brackets.
///
/// ```
/// use voxline_protocol::is_loopback;
///
/// assert!(["localhost", "plivo.localhost", "127.0.0.1", "[::1]"].into_iter().all(is_loopback));
/// assert!(!["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1"].into_iter().any(is_loopback));
/// ```
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(host).parse() {
        Ok(IpAddr::V4(ip)) => bare.is_none() && ip.is_loopback(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback(),
        Err(_) => {
            let last = host.rsplit('.').next().unwrap_or_default();
            last.eq_ignore_ascii_case("localhost") && !host.starts_with('.')
        }
    }
}

/// An address as it may be shown: a key may have been typed as its user, its query or its fragment.
pub(crate) fn without_secrets(base: &str) -> String {
    let cut = base.find(['?', '#']).map_or(base.len(), |at| at + 1);
    let rest = if cut < base.len() { "…" } else { "" };
    let (scheme, place) = base[..cut].split_once("://").map_or(("", &base[..cut]), |parts| parts);
    let separator = if scheme.is_empty() { "" } else { "://" };
    let (user, place) = place.rsplit_once('@').map_or(("", place), |(_, host)| ("…@", host));
    let shown: String = place.chars().take(SEEN_CHARS).collect();
    let rest = if shown.len() < place.len() { "…" } else { rest };
    format!("{scheme}{separator}{user}{shown}{rest}")
}

/// `http` takes addresses of less than 64 KiB; this leaves more than any path needs.
const MAX_BYTES: usize = 2_048;
const SEEN_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        BaseUrl::parse(text).err().map(|error| error.code().as_str())
    }

    #[test]
    fn a_key_goes_out_encrypted_or_stays_on_this_machine() {
        for (base, refused) in [
            ("https://api.daily.co", None),
            ("WSS://api.example.com:8443/prefix/", None),
            (" https://10.0.0.1 ", None),
            ("http://127.0.0.1:8080/prefix", None),
            ("http://127.9.9.9", None),
            ("http://[::1]:80", None),
            ("ws://LOCALHOST:1", None),
            ("http://plivo.localhost", None),
            ("http://api.plivo.com", Some("address/cleartext")),
            ("ws://api.slng.ai", Some("address/cleartext")),
            ("http://10.0.0.1:8080", Some("address/cleartext")),
            ("http://0.0.0.0:8080", Some("address/cleartext")),
            ("http://localhost.example.com", Some("address/cleartext")),
            ("http://127.0.0.1.example.com", Some("address/cleartext")),
            ("http://notlocalhost", Some("address/cleartext")),
            ("http://[::ffff:10.0.0.1]", Some("address/cleartext")),
            ("http://127.1", Some("address/cleartext")),
        ] {
            assert_eq!(code(base), refused, "{base}");
        }
    }

    #[test]
    fn a_base_is_what_a_path_can_follow() {
        let long = format!("https://h/{}", "a".repeat(MAX_BYTES));
        for base in [
            "",
            "h",
            "/v1",
            "https://",
            "https://:1",
            "https://h:1:2",
            "https://h:",
            "https://h?a",
            "https://h#a",
            "https://me@h",
            "http://me@localhost",
            "ftp://h",
            "https://a b",
            &long,
        ] {
            assert_eq!(code(base), Some("address/invalid"), "{base}");
        }
    }

    #[test]
    fn an_error_shows_no_key() {
        for base in [
            "https://me:canary@h",
            "http://h?token=canary",
            "ftp://h#canary",
            "http://canary@api.example.com",
        ] {
            let error = BaseUrl::parse(base).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{base}: {error}");
        }
    }
}
