//! Plivo's request signatures: checked, and made for the simulator.

use std::collections::VecDeque;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method};
use sha2::Sha256;
use thiserror::Error;

use super::form::{Params, decode_pairs};
use crate::Secret;

/// Checks that a request comes from Plivo: V3 signatures with any of several tokens, in constant time.
///
/// Several tokens are valid while one is rotated. The account's tokens answer for
/// `X-Plivo-Signature-V3`, the main account's for `X-Plivo-Signature-Ma-V3`; either may vouch.
///
/// ```
/// use http::Method;
/// use voxline_protocol::Secret;
/// use voxline_protocol::plivo::{Params, PlivoSigner, PlivoVerifier};
///
/// let token = Secret::new("fakeAuthToken0123456789abcdefABCDEF").unwrap();
/// let params = Params::from_form("CallUUID=1&From=%2B14155550100");
/// let url = "https://voice.example.com/plivo/answer";
/// let headers = PlivoSigner::new(token.clone()).sign(&Method::POST, url, &params, "17300000001234567890");
///
/// let verifier = PlivoVerifier::new(token);
/// assert!(verifier.verify(&Method::POST, url, &params, &headers).is_ok());
/// assert!(verifier.verify(&Method::POST, url, &Params::new(), &headers).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct PlivoVerifier {
    tokens: Vec<Secret>,
    main_tokens: Vec<Secret>,
}

impl PlivoVerifier {
    /// Trusts the account's (or subaccount's) token.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        Self { tokens: vec![token], main_tokens: Vec::new() }
    }

    /// Trusts a further token of the account, during rotation.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.tokens.push(token);
        self
    }

    /// Trusts a token of the main account.
    #[must_use]
    pub fn with_main_token(mut self, token: Secret) -> Self {
        self.main_tokens.push(token);
        self
    }

    /// Checks a webhook that Plivo sent to `url`: the public one, not that behind a proxy.
    ///
    /// # Errors
    /// A header is missing, or nothing matches. There is no falling back to V2, which does not
    /// protect the body.
    pub fn verify(
        &self,
        method: &Method,
        url: &str,
        params: &Params,
        headers: &HeaderMap,
    ) -> Result<(), SignatureError> {
        let given = Given::read(headers)?;
        if self.matches(&given, &base(method, url, params)) { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    /// Checks the upgrade request of a stream that Plivo dialled at `url`, and tells how it was signed.
    ///
    /// Plivo signs the `http://` form of the address whatever scheme it dials; the other forms on record
    /// are tried after it, and an explicit default port with and without.
    ///
    /// # Errors
    /// A header is missing, or no form matches.
    pub fn verify_upgrade(&self, url: &str, headers: &HeaderMap) -> Result<UpgradeForm, SignatureError> {
        let given = Given::read(headers)?;
        let found = UpgradeForm::ALL.into_iter().find(|form| {
            form.candidates(url)
                .iter()
                .any(|url| self.matches(&given, &base(&Method::GET, url, &Params::new())))
        });
        found.ok_or(SignatureError::Mismatch)
    }

    /// Checks the deprecated V2 signature, which covers neither query nor body.
    ///
    /// # Errors
    /// A V3 signature is there and must be used, a header is missing, or nothing matches.
    pub fn verify_v2(&self, url: &str, headers: &HeaderMap) -> Result<(), SignatureError> {
        if headers.contains_key(V3) || headers.contains_key(MA_V3) {
            return Err(SignatureError::Downgrade);
        }
        let nonce = text(headers, V2_NONCE).ok_or(SignatureError::Missing(V2_NONCE))?;
        let prefix = Url::split(url).prefix();
        let message = [prefix.as_bytes(), nonce.as_bytes()].concat();
        let shown = |name, tokens: &[Secret]| {
            text(headers, name).is_some_and(|list| any_matches(tokens, &list, &message))
        };
        let (given, main) = (shown(V2, &self.tokens), shown(MA_V2, &self.main_tokens));
        if given || main { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    fn matches(&self, given: &Given, base: &str) -> bool {
        let message = format!("{base}.{}", given.nonce);
        let own = given.own.as_ref().is_some_and(|list| any_matches(&self.tokens, list, message.as_bytes()));
        let main =
            given.main.as_ref().is_some_and(|list| any_matches(&self.main_tokens, list, message.as_bytes()));
        own || main
    }
}

/// Signs requests as Plivo does.
#[derive(Debug, Clone)]
pub struct PlivoSigner {
    token: Secret,
    main_token: Option<Secret>,
}

impl PlivoSigner {
    /// Signs with the account's token.
    #[must_use]
    pub const fn new(token: Secret) -> Self {
        Self { token, main_token: None }
    }

    /// Signs with the main account's token too.
    #[must_use]
    pub fn with_main_token(self, token: Secret) -> Self {
        Self { main_token: Some(token), ..self }
    }

    /// The headers of a webhook.
    #[must_use]
    pub fn sign(&self, method: &Method, url: &str, params: &Params, nonce: &str) -> HeaderMap {
        self.headers(&base(method, url, params), nonce)
    }

    /// The headers of an upgrade request to `url`, signed in `form`.
    #[must_use]
    pub fn sign_upgrade(&self, url: &str, form: UpgradeForm, nonce: &str) -> HeaderMap {
        self.headers(&base(&Method::GET, &form.apply(url), &Params::new()), nonce)
    }

    fn headers(&self, base: &str, nonce: &str) -> HeaderMap {
        let message = format!("{base}.{nonce}");
        let mut headers = HeaderMap::new();
        let mut insert = |name: &'static str, value: &str| {
            // Base64 is always a header value; a nonce that is none is left out, and the check will say so.
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        insert(V3, &signature(&self.token, message.as_bytes()));
        if let Some(token) = &self.main_token {
            insert(MA_V3, &signature(token, message.as_bytes()));
        }
        insert(NONCE, nonce);
        headers
    }
}

/// Which form of a stream's address was signed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeForm {
    /// The scheme in the signed address.
    pub scheme: SignedScheme,
    /// Whether the query string is signed too.
    pub query: bool,
}

/// The scheme in a signed stream address.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedScheme {
    /// `http://`: what live calls show.
    Http,
    /// `https://`.
    Https,
    /// `wss://`: what the documents say.
    Wss,
}

impl UpgradeForm {
    /// `http` with the query: what live calls show.
    pub const EXPECTED: Self = Self { scheme: SignedScheme::Http, query: true };

    /// Every form on record, likeliest first.
    pub const ALL: [Self; 6] = [
        Self::EXPECTED,
        Self { scheme: SignedScheme::Http, query: false },
        Self { scheme: SignedScheme::Https, query: true },
        Self { scheme: SignedScheme::Https, query: false },
        Self { scheme: SignedScheme::Wss, query: true },
        Self { scheme: SignedScheme::Wss, query: false },
    ];

    fn apply(self, url: &str) -> String {
        let mut url = Url::split(url);
        url.scheme = match self.scheme {
            SignedScheme::Http => "http",
            SignedScheme::Https => "https",
            SignedScheme::Wss => "wss",
        };
        if !self.query {
            url.query = None;
        }
        url.join()
    }

    fn candidates(self, url: &str) -> Vec<String> {
        let bare = Url::split(url).without_default_port();
        let urls = std::iter::once(url.to_owned()).chain(bare);
        urls.map(|url| self.apply(&url)).collect()
    }
}

/// Why a request is not taken as Plivo's.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// V2 was to be checked although V3 is there.
    #[error("a V3 signature is present; check that one instead of V2")]
    Downgrade,
    /// Nothing matches.
    #[error("no signature matches; check the Auth Token and the public URL that Plivo called")]
    Mismatch,
    /// A header is not there, or is empty.
    #[error("no `{0}` header; requests that do not come from Plivo have none")]
    Missing(&'static str),
    /// The nonce was seen before.
    #[error("nonce was used before: a replayed request")]
    Replayed,
}

/// Remembers nonces, so that a recorded request cannot be played again.
///
/// Plivo states no time in what it signs, so a nonce is only known while it is remembered: the oldest
/// is forgotten when there are more than `capacity`.
#[derive(Debug, Clone)]
pub struct NonceGuard {
    capacity: usize,
    order: VecDeque<String>,
    seen: std::collections::HashSet<String>,
}

impl NonceGuard {
    /// Remembers up to `capacity` nonces.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, order: VecDeque::new(), seen: std::collections::HashSet::new() }
    }

    /// Takes the nonce of a request whose signature was right.
    ///
    /// # Errors
    /// It was taken before, or is missing.
    pub fn admit(&mut self, headers: &HeaderMap) -> Result<(), SignatureError> {
        let nonce = text(headers, NONCE).ok_or(SignatureError::Missing(NONCE))?;
        if !self.seen.insert(nonce.clone()) {
            return Err(SignatureError::Replayed);
        }
        self.order.push_back(nonce);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        Ok(())
    }
}

/// What a request shows.
struct Given {
    own: Option<String>,
    main: Option<String>,
    nonce: String,
}

impl Given {
    fn read(headers: &HeaderMap) -> Result<Self, SignatureError> {
        let (own, main) = (text(headers, V3), text(headers, MA_V3));
        if own.is_none() && main.is_none() {
            return Err(SignatureError::Missing(V3));
        }
        let nonce = text(headers, NONCE).ok_or(SignatureError::Missing(NONCE))?;
        Ok(Self { own, main, nonce })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// Whether any of the comma-separated signatures is made of `message` by any of `tokens`.
fn any_matches(tokens: &[Secret], list: &str, message: &[u8]) -> bool {
    let mut found = false;
    for token in tokens {
        for entry in list.split(',').take(MAX_SIGNATURES) {
            let Ok(given) = base64_simd::STANDARD.decode_to_vec(entry.trim()) else { continue };
            found |= keyed(token, message).verify_slice(&given).is_ok();
        }
    }
    found
}

fn signature(token: &Secret, message: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(keyed(token, message).finalize().into_bytes())
}

fn keyed(token: &Secret, message: &[u8]) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(token.expose().as_bytes()) else {
        unreachable!("HMAC takes keys of any length: RFC 2104 section 2")
    };
    mac.update(message);
    mac
}

/// What is signed, but for the nonce: Plivo's Python SDK, which reproduces its published vectors.
fn base(method: &Method, url: &str, params: &Params) -> String {
    let url = Url::split(url);
    let mut pairs = decode_pairs(url.query.unwrap_or_default());
    let mut form = String::new();
    if *method == Method::POST {
        form = params.signed();
    } else {
        pairs.extend(params.iter().map(|(name, value)| (name.to_owned(), value)));
    }
    pairs.sort();
    let query: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = query.join("&");
    let prefix = url.prefix();
    match (query.is_empty(), form.is_empty()) {
        (true, true) => prefix,
        (false, true) => format!("{prefix}?{query}"),
        (true, false) => format!("{prefix}?{form}"),
        (false, false) => format!("{prefix}?{query}.{form}"),
    }
}

/// An address in its parts, each as it was written.
#[derive(Debug, Clone, Copy)]
struct Url<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn split(url: &'a str) -> Self {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self { scheme, authority, path, query }
    }

    fn prefix(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path)
    }

    fn join(&self) -> String {
        match self.query {
            Some(query) => format!("{}?{query}", self.prefix()),
            None => self.prefix(),
        }
    }

    fn without_default_port(mut self) -> Option<String> {
        let host = self.authority.strip_suffix(":443").or_else(|| self.authority.strip_suffix(":80"))?;
        self.authority = host;
        Some(self.join())
    }
}

const V3: &str = "x-plivo-signature-v3";
const MA_V3: &str = "x-plivo-signature-ma-v3";
const NONCE: &str = "x-plivo-signature-v3-nonce";
const V2: &str = "x-plivo-signature-v2";
const MA_V2: &str = "x-plivo-signature-ma-v2";
const V2_NONCE: &str = "x-plivo-signature-v2-nonce";
/// More active tokens than this no account has.
const MAX_SIGNATURES: usize = 16;
