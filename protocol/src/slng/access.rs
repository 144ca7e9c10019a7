//! Who is let in: an upgrade's credentials as a server reads and judges them.

use std::fmt;

use thiserror::Error;

use crate::Code;
use crate::slng::codes;
use crate::slng::route::{HOSTED, percent_decode};
use crate::slng::wire::encode;

/// What an upgrade request offers, as a server reads it.
#[non_exhaustive]
#[derive(Clone, Default)]
pub struct Credentials {
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `X-API-Key` header, which one published client sends as well.
    pub api_key: Option<String>,
    /// The `X-Slng-Provider-Key` header.
    pub provider_key: Option<String>,
    /// The query, without its question mark.
    pub query: Option<String>,
}

impl Credentials {
    /// Takes what matters here from a request's headers and query.
    ///
    /// ```
    /// use voxline_protocol::slng::Credentials;
    ///
    /// let credentials = Credentials::read([("authorization", "Bearer abc"), ("Host", "h")], None);
    /// assert_eq!(credentials.authorization.as_deref(), Some("Bearer abc"));
    /// ```
    #[must_use]
    pub fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>, query: Option<&str>) -> Self {
        let mut read = Self { query: query.map(str::to_owned), ..Self::default() };
        for (name, value) in headers {
            let place = match name.to_ascii_lowercase().as_str() {
                "authorization" => &mut read.authorization,
                "x-api-key" => &mut read.api_key,
                "x-slng-provider-key" => &mut read.provider_key,
                _ => continue,
            };
            *place = Some(value.to_owned());
        }
        read
    }

    /// The key that was offered: the `Authorization` header's, else the `X-API-Key` header's, else the query's token.
    fn key(&self) -> Option<String> {
        if let Some(authorization) = &self.authorization {
            let (scheme, key) = authorization.trim().split_once(' ')?;
            return scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned());
        }
        self.api_key.clone().or_else(|| {
            let pairs = self.query.as_deref()?.split('&');
            pairs.filter_map(|pair| pair.strip_prefix("token=")).find_map(percent_decode)
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |present: bool| if present { "given" } else { "none" };
        f.debug_struct("Credentials")
            .field("authorization", &told(self.authorization.is_some()))
            .field("api_key", &told(self.api_key.is_some()))
            .field("provider_key", &told(self.provider_key.is_some()))
            .finish_non_exhaustive()
    }
}

/// Decides on an upgrade to `model` as the gateway does. `accepts` judges the key.
///
/// ```
/// use voxline_protocol::slng::{Credentials, authorise};
///
/// let with_token = Credentials::read([], Some("region=eu&token=a%2Bb"));
/// assert!(authorise(&with_token, "deepgram/aura:2", |key| key == "a+b").is_ok());
/// let refused = authorise(&Credentials::default(), "deepgram/aura:2", |_| true).unwrap_err();
/// assert_eq!(refused.status(), 401);
/// ```
///
/// # Errors
/// No key, a key that is not accepted, or a provider key for a model the gateway hosts itself.
pub fn authorise(
    credentials: &Credentials,
    model: &str,
    accepts: impl FnOnce(&str) -> bool,
) -> Result<(), AccessRefused> {
    match credentials.key() {
        None => return Err(AccessRefused::NoKey),
        Some(key) if !accepts(&key) => return Err(AccessRefused::WrongKey),
        Some(_) => {}
    }
    if credentials.provider_key.is_some() && model.starts_with(HOSTED) {
        return Err(AccessRefused::ProviderKeyOnHosted);
    }
    Ok(())
}

/// Why an upgrade is refused.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AccessRefused {
    /// Neither a bearer header, nor `X-API-Key`, nor a token.
    #[error("no API key: send `Authorization: Bearer <key>` or `?token=<key>`")]
    NoKey,
    /// A provider key where the gateway is the provider.
    #[error("BYOK is only supported for external STT/TTS routes")]
    ProviderKeyOnHosted,
    /// A key that is not accepted.
    #[error("invalid API key")]
    WrongKey,
}

impl AccessRefused {
    /// The HTTP status that tells it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NoKey | Self::WrongKey => 401,
            Self::ProviderKeyOnHosted => 400,
        }
    }

    /// The HTTP body that tells it.
    #[must_use]
    pub fn body(self) -> String {
        encode(&serde_json::json!({ "error": self.to_string(), "status": self.status() }))
    }

    /// The stable name of this error.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::NoKey | Self::WrongKey => codes::AUTH,
            Self::ProviderKeyOnHosted => codes::BYOK_HOSTED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_key_for_a_hosted_model_is_refused() {
        let credentials =
            Credentials::read([("Authorization", "Bearer k"), ("X-Slng-Provider-Key", "p")], None);
        assert_eq!(authorise(&credentials, "slng/a/b", |_| true), Err(AccessRefused::ProviderKeyOnHosted));
        assert_eq!(authorise(&credentials, "a/b", |key| key == "k"), Ok(()));
    }

    #[test]
    fn the_bearer_header_wins_over_other_keys() {
        for (headers, query, expected) in [
            (vec![("authorization", "bearer  a"), ("X-API-Key", "b")], Some("token=c"), Some("a")),
            (vec![("X-API-Key", "b")], Some("token=c"), Some("b")),
            (vec![], Some("region=eu&token=c%20d"), Some("c d")),
            (vec![("authorization", "Basic a")], None, None),
            (vec![], Some("token=%zz"), None),
        ] {
            assert_eq!(Credentials::read(headers, query).key().as_deref(), expected);
        }
    }
}
