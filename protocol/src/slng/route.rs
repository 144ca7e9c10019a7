//! Where a link goes and what its upgrade carries.

use crate::slng::ConfigError;
use crate::{AddressError, BaseUrl, Secret};

/// Which of the gateway's two services a route serves.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Speech to text.
    Stt,
    /// Text to speech.
    Tts,
}

impl Service {
    /// The path of `model` on the unified bridge.
    #[must_use]
    pub fn path(self, model: &str) -> String {
        let service = match self {
            Self::Stt => "stt",
            Self::Tts => "tts",
        };
        format!("{BRIDGE}{service}/{model}")
    }

    /// The service and the model that a request's path names; `None` if it is no bridge path.
    ///
    /// ```
    /// use voxline_protocol::slng::Service;
    ///
    /// let path = "/v1/bridges/unmute/tts/slng/deepgram/aura%3A2-en";
    /// assert_eq!(Service::of_path(path), Some((Service::Tts, "slng/deepgram/aura:2-en".to_owned())));
    /// assert_eq!(Service::of_path("/v1/health"), None);
    /// ```
    #[must_use]
    pub fn of_path(path: &str) -> Option<(Self, String)> {
        let rest = path.strip_prefix(BRIDGE)?;
        let (service, model) = rest.split_once('/')?;
        let service = match service {
            "stt" => Self::Stt,
            "tts" => Self::Tts,
            _ => return None,
        };
        let model = percent_decode(model)?;
        let model = model.trim_end_matches('/');
        (!model.is_empty()).then(|| (service, model.to_owned()))
    }
}

/// Which part of the world serves a link; without one the nearest does.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Region {
    /// Exact regions such as `eu-north-1`, the preferred one first.
    Exact(Vec<String>),
    /// A part of the world: `na`, `eu`, `ap`.
    WorldPart(String),
}

/// The address and the headers of one kind of link.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_protocol::slng::{Route, Service};
///
/// let key = Secret::new("slng_cu_123")?;
/// let route = Route::new("https://api.slng.ai", Service::Tts, "slng/deepgram/aura:2-en", key)?
///     .with_session("call-7")?;
/// assert_eq!(route.url(), "wss://api.slng.ai/v1/bridges/unmute/tts/slng/deepgram/aura:2-en");
/// assert_eq!(route.headers()[0], ("Authorization", "Bearer slng_cu_123".to_owned()));
/// assert_eq!(route.headers()[1], ("X-SLNG-Session-Id", "call-7".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    base: String,
    service: Service,
    model: String,
    key: Secret,
    key_in_url: bool,
    provider_key: Option<Secret>,
    region: Option<Region>,
    agent: Option<String>,
    session: Option<String>,
}

impl Route {
    /// A link to `model` at `base`: `wss://`, `https://`, `ws://` or `http://`, a host, perhaps a port and a path.
    ///
    /// # Errors
    /// The base has another scheme, no host, or a query, or the key would go there in clear, as to `ws://` and a host
    /// that [is not this machine](crate::is_loopback); or the model is no path of two or more segments.
    pub fn new(base: &str, service: Service, model: &str, key: Secret) -> Result<Self, ConfigError> {
        Ok(Self {
            base: web_socket_base(base)?,
            service,
            model: checked_model(model)?,
            key,
            key_in_url: false,
            provider_key: None,
            region: None,
            agent: None,
            session: None,
        })
    }

    /// Sends the key as `?token=`, for transports that cannot set headers. It then stands in the log
    /// of every proxy on the way, so use a short-lived one.
    #[must_use]
    pub const fn with_key_in_url(mut self) -> Self {
        self.key_in_url = true;
        self
    }

    /// Bills a provider account of your own.
    ///
    /// # Errors
    /// The model is hosted by the gateway itself (`slng/…`), which has no provider account.
    pub fn with_provider_key(mut self, key: Secret) -> Result<Self, ConfigError> {
        if self.model.starts_with(HOSTED) {
            let remedy = "leave the provider key out, or use the model without the `slng/` prefix";
            return Err(ConfigError::new("provider key", format!("given for `{}`", self.model), remedy));
        }
        self.provider_key = Some(key);
        Ok(self)
    }

    /// Serves the link from `region`.
    ///
    /// # Errors
    /// A name is empty or holds anything but letters, digits and hyphens.
    pub fn with_region(mut self, region: Region) -> Result<Self, ConfigError> {
        let names = match &region {
            Region::Exact(names) => names.as_slice(),
            Region::WorldPart(name) => std::slice::from_ref(name),
        };
        let is_name = |name: &String| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if names.is_empty() || !names.iter().all(is_name) {
            let remedy = "use names such as `eu-north-1`, or a world part such as `eu`";
            return Err(ConfigError::new("region", format!("{names:?}"), remedy));
        }
        self.region = Some(region);
        Ok(self)
    }

    /// Labels usage with an agent.
    ///
    /// # Errors
    /// The label is empty, longer than 128 characters, or holds a comma or a control character.
    pub fn with_agent(mut self, label: &str) -> Result<Self, ConfigError> {
        self.agent = Some(checked_label("agent label", label)?);
        Ok(self)
    }

    /// Labels usage with a session.
    ///
    /// # Errors
    /// As [`with_agent`](Self::with_agent).
    pub fn with_session(mut self, label: &str) -> Result<Self, ConfigError> {
        self.session = Some(checked_label("session label", label)?);
        Ok(self)
    }

    /// The address to dial. It holds the key if [`with_key_in_url`](Self::with_key_in_url) was asked for.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = self.url_without_key();
        if self.key_in_url {
            url.push_str("?token=");
            percent_encode(&mut url, self.key.expose(), "");
        }
        url
    }

    /// The address as it may be logged.
    #[must_use]
    pub fn url_without_key(&self) -> String {
        let mut url = self.base.clone();
        percent_encode(&mut url, &self.service.path(&self.model), "/:");
        url
    }

    /// The upgrade's headers, the key's first unless it travels in the address. They hold keys: for
    /// the line that puts them on the wire, and for nothing else.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if !self.key_in_url {
            headers.push(("Authorization", format!("Bearer {}", self.key.expose())));
        }
        if let Some(key) = &self.provider_key {
            headers.push(("X-Slng-Provider-Key", key.expose().to_owned()));
        }
        match &self.region {
            Some(Region::Exact(names)) => {
                headers.push(("X-Region-Override", names.join(", ").to_ascii_lowercase()));
            }
            Some(Region::WorldPart(name)) => {
                headers.push(("X-World-Part-Override", name.to_ascii_lowercase()));
            }
            None => {}
        }
        let labels = [("X-SLNG-Agent-Id", &self.agent), ("X-SLNG-Session-Id", &self.session)];
        headers.extend(labels.into_iter().filter_map(|(name, label)| Some((name, label.clone()?))));
        headers
    }
}

/// The base with a WebSocket scheme and without a slash at its end.
fn web_socket_base(base: &str) -> Result<String, ConfigError> {
    let checked = BaseUrl::parse(base).map_err(|error| {
        let (seen, remedy) = match error {
            AddressError::Cleartext { seen } => (seen, CLEARTEXT),
            AddressError::Invalid { seen } => (seen, "use an address such as `wss://api.slng.ai`"),
        };
        ConfigError::new("base URL", format!("`{seen}`"), remedy)
    })?;
    let (scheme, rest) = checked.as_str().split_once("://").unwrap_or_default();
    let encrypted = ["https", "wss"].into_iter().any(|name| scheme.eq_ignore_ascii_case(name));
    Ok(format!("{}://{rest}", if encrypted { "wss" } else { "ws" }))
}

/// Two segments or more of letters, digits, `.`, `_` and `-`, the last perhaps with a `:variant`.
fn checked_model(model: &str) -> Result<String, ConfigError> {
    let trimmed = model.trim().trim_end_matches('/');
    let (path, variant) = trimmed.rsplit_once(':').map_or((trimmed, None), |(path, last)| (path, Some(last)));
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let fits = path.contains('/') && path.split('/').all(is_word) && variant.is_none_or(is_word);
    if !fits {
        let remedy = "use the catalogue's name, such as `deepgram/aura:2`";
        return Err(ConfigError::new("model", format!("`{model}`"), remedy));
    }
    Ok(trimmed.to_owned())
}

fn checked_label(field: &'static str, label: &str) -> Result<String, ConfigError> {
    let label = label.trim();
    let length = label.chars().count();
    if !(1..=LABEL_CHARS).contains(&length) {
        let remedy = "give between 1 and 128 characters";
        return Err(ConfigError::new(field, format!("{length} characters long"), remedy));
    }
    if label.contains(|c: char| c == ',' || !(' '..='~').contains(&c)) {
        let remedy = "leave out commas and whatever is not printable ASCII";
        return Err(ConfigError::new(field, format!("{label:?}"), remedy));
    }
    Ok(label.to_owned())
}

/// Appends `text`, keeping RFC 3986's unreserved characters and those of `keep`.
fn percent_encode(out: &mut String, text: &str, keep: &str) {
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || (byte.is_ascii() && keep.contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// `None` if an escape is broken or the result is no UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

const CLEARTEXT: &str =
    "it would be told the key in clear; use `wss://`, or `ws://` to a host of this machine";
const BRIDGE: &str = "/v1/bridges/unmute/";
/// Models the gateway runs itself.
pub(super) const HOSTED: &str = "slng/";
/// The vendor's own clients allow no longer label.
const LABEL_CHARS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Secret {
        Secret::new("k+1").unwrap()
    }

    fn route(base: &str, model: &str) -> Result<Route, ConfigError> {
        Route::new(base, Service::Stt, model, key())
    }

    #[test]
    fn addresses_are_built_from_any_sensible_base() {
        for (base, expected) in [
            ("https://api.slng.ai/", "wss://api.slng.ai/v1/bridges/unmute/stt/deepgram/nova:3"),
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/bridges/unmute/stt/deepgram/nova:3"),
            ("ws://speech.localhost", "ws://speech.localhost/v1/bridges/unmute/stt/deepgram/nova:3"),
            (" WSS://h/prefix ", "wss://h/prefix/v1/bridges/unmute/stt/deepgram/nova:3"),
        ] {
            assert_eq!(route(base, "deepgram/nova:3/").unwrap().url(), expected);
        }
    }

    #[test]
    fn what_is_no_address_or_model_is_refused_by_name() {
        for base in [
            "api.slng.ai",
            "ftp://h",
            "wss://",
            "wss://:1",
            "wss://h:1:2",
            "wss://h?x=1",
            "wss://a b",
            "ws://h",
            "http://h",
        ] {
            assert_eq!(route(base, "deepgram/nova:3").unwrap_err().field, "base URL", "{base}");
        }
        for model in ["", "nova", "a//b", "a/b:c:d", "a/b:c/d", "-a/b", "a/b c"] {
            assert_eq!(route("wss://h", model).unwrap_err().field, "model", "{model}");
        }
        let labelled = |label: &str| route("wss://h", "a/b").unwrap().with_agent(label);
        for label in ["", "a,b", "a\nb", &"x".repeat(129)] {
            assert_eq!(labelled(label).unwrap_err().field, "agent label", "{label:?}");
        }
        assert!(labelled(&"x".repeat(128)).is_ok());
    }

    #[test]
    fn a_key_in_the_address_is_escaped_and_kept_out_of_the_logged_one() {
        let route = route("wss://h", "a/b").unwrap().with_key_in_url();
        assert!(route.url().ends_with("a/b?token=k%2B1"));
        assert!(!route.url_without_key().contains("token"));
        assert!(route.headers().is_empty());
        assert!(!format!("{route:?}").contains("k+1"));
    }

    /// T15.
    #[test]
    fn region_provider_key_and_labels_travel_as_the_vendors_own_clients_send_them() {
        let labelled = route("wss://h", "deepgram/nova:3").unwrap();
        let labelled = labelled.with_provider_key(Secret::new("p").unwrap()).unwrap();
        let labelled = labelled.with_agent(" ag1 ").unwrap().with_session("call-7").unwrap();
        let exact = Region::Exact(vec!["EU-North-1".to_owned(), "us-east-1".to_owned()]);
        for (region, expected) in [
            (exact, ("X-Region-Override", "eu-north-1, us-east-1")),
            (Region::WorldPart("EU".to_owned()), ("X-World-Part-Override", "eu")),
        ] {
            let headers = labelled.clone().with_region(region).unwrap().headers();
            let of =
                |name| headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str());
            assert_eq!(of(expected.0), Some(expected.1));
            assert_eq!(of("Authorization"), Some("Bearer k+1"));
            assert_eq!(of("X-Slng-Provider-Key"), Some("p"));
            assert_eq!((of("X-SLNG-Agent-Id"), of("X-SLNG-Session-Id")), (Some("ag1"), Some("call-7")));
            assert_eq!(headers.len(), 5, "nothing else, and one region header at most");
        }
    }

    #[test]
    fn a_provider_key_is_for_external_models_alone() {
        assert!(route("wss://h", "slng/a/b").unwrap().with_provider_key(key()).is_err());
    }
}
