//! Daily's webhooks: checked by their signature, then read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64_simd::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use thiserror::Error;

use crate::json::decode;
use crate::{Code, DecodeError, Secret};

/// The key Daily signs with, from the `hmac` of the webhook.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use voxline_protocol::Secret;
/// use voxline_protocol::daily::{Webhook, WebhookError, WebhookKey};
///
/// let key = WebhookKey::new(&Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?)?;
/// let body = br#"{"version":"1.0.0","type":"meeting.started","id":"1","payload":{"room":"demo"}}"#;
/// let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// let mut headers = http::HeaderMap::new();
/// assert_eq!(key.open(&headers, body, at), Err(WebhookError::Unsigned));
///
/// headers.insert("x-webhook-timestamp", "1700000001".parse()?);
/// headers.insert("x-webhook-signature", key.sign("1700000001", body).parse()?);
/// let Webhook::Event(event) = key.open(&headers, body, at)? else { panic!() };
/// assert_eq!(event.room.as_deref(), Some("demo"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WebhookKey(Hmac<Sha256>);

impl std::fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookKey(..)")
    }
}

/// Something Daily posted.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Webhook {
    /// Something happened in a room.
    Event(Box<WebhookEvent>),
    /// Daily tries the address out: answer 200 and do nothing.
    Test,
}

/// Something that happened in a room of our own domain. Delivered at least once, in any order.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WebhookEvent {
    /// Unique for each event: drop a second one.
    pub id: String,
    /// `participant.joined`, `participant.left`, `meeting.started`, `meeting.ended` and others.
    pub kind: String,
    /// The room's name. Webhooks come for every room of the domain.
    pub room: Option<String>,
    /// The participant's session.
    pub session_id: Option<String>,
    /// The participant's stable id.
    pub user_id: Option<String>,
    /// The participant's name.
    pub user_name: Option<String>,
    /// How long it was there, in seconds, once it left.
    pub duration: Option<f64>,
}

/// A webhook that must not be acted on. Answer 401.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// The key is not base64.
    #[error("webhook key is not base64; copy the `hmac` of the webhook")]
    BadKey,
    /// It was signed too long ago, or in the future.
    #[error("webhook signed {age:?} away from our clock (limit {limit:?})")]
    Stale {
        /// How far away.
        age: Duration,
        /// How far it may be.
        limit: Duration,
    },
    /// The body is not what Daily documents.
    #[error("webhook does not parse")]
    Unreadable(#[source] DecodeError),
    /// A header is missing.
    #[error("webhook carries no signature")]
    Unsigned,
    /// The signature is not ours.
    #[error("webhook signed with another key, or changed on its way")]
    WrongSignature,
}

impl WebhookError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new("daily/webhook")
    }
}

impl WebhookKey {
    /// How far the signature's time may be from ours.
    pub const MAX_AGE: Duration = Duration::from_secs(300);

    /// A key from its base64.
    ///
    /// # Errors
    /// It is not base64.
    pub fn new(hmac: &Secret) -> Result<Self, WebhookError> {
        let key = BASE64.decode_to_vec(hmac.expose()).map_err(|_| WebhookError::BadKey)?;
        Hmac::new_from_slice(&key).map(Self).map_err(|_| WebhookError::BadKey)
    }

    /// The signature of a body, as Daily makes it: for tests and the simulator.
    #[must_use]
    pub fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        BASE64.encode_to_string(self.mac(timestamp, body).finalize().into_bytes())
    }

    /// Checks a request by its raw body and reads it. The test request is not signed.
    ///
    /// # Errors
    /// It is unsigned, wrongly signed, too old, or unreadable.
    pub fn open(&self, headers: &HeaderMap, body: &[u8], wall: SystemTime) -> Result<Webhook, WebhookError> {
        if is_test(body) {
            return Ok(Webhook::Test);
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(timestamp), Some(signature)) =
            (header("x-webhook-timestamp"), header("x-webhook-signature"))
        else {
            return Err(WebhookError::Unsigned);
        };
        let signature = BASE64.decode_to_vec(signature.trim()).map_err(|_| WebhookError::WrongSignature)?;
        // Compared in constant time by `verify_slice`.
        self.mac(timestamp, body).verify_slice(&signature).map_err(|_| WebhookError::WrongSignature)?;
        check_age(timestamp, wall)?;
        let text = std::str::from_utf8(body)
            .map_err(|error| WebhookError::Unreadable(DecodeError::new(error, "")))?;
        read(text).map(|event| Webhook::Event(Box::new(event))).map_err(WebhookError::Unreadable)
    }

    fn mac(&self, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac
    }
}

/// The unit is not documented: what is too large for seconds is milliseconds.
fn check_age(timestamp: &str, wall: SystemTime) -> Result<(), WebhookError> {
    let number: f64 = timestamp.trim().parse().map_err(|_| WebhookError::Unsigned)?;
    let seconds = if number > 1e11 { number / 1000.0 } else { number };
    let now = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let age = Duration::try_from_secs_f64((now - seconds).abs()).unwrap_or(Duration::MAX);
    if age > WebhookKey::MAX_AGE {
        return Err(WebhookError::Stale { age, limit: WebhookKey::MAX_AGE });
    }
    Ok(())
}

/// Daily's trial: an object with `test` and nothing else.
fn is_test(body: &[u8]) -> bool {
    matches!(serde_json::from_slice::<Value>(body), Ok(Value::Object(fields))
        if fields.len() == 1 && fields.contains_key("test"))
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(default)]
    payload: Payload,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    room: Option<String>,
    session_id: Option<String>,
    user_id: Option<String>,
    user_name: Option<String>,
    duration: Option<f64>,
}

fn read(text: &str) -> Result<WebhookEvent, DecodeError> {
    let Envelope { kind, id, payload } = decode(text)?;
    let Payload { room, session_id, user_id, user_name, duration } = payload;
    Ok(WebhookEvent { id, kind, room, session_id, user_id, user_name, duration })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"version":"1.0.0","type":"participant.joined","id":"evt-1","payload":{"joined_at":1700000000.5,"session_id":"11111111-2222-3333-4444-555555555555","room":"demo-room","user_id":"u1","user_name":"AI Avatar (AH)","owner":false},"event_ts":1700000001.25}"#;
    const SIGNATURE: &str = "NVqis7YFeH8g2/jb61wJvhJRFq2x+Ft07zzYSB7pCOM=";

    fn key() -> WebhookKey {
        WebhookKey::new(&Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()).unwrap()
    }

    fn open(signature: &str, body: &str, wall_secs: u64) -> Result<Webhook, WebhookError> {
        let mut headers = HeaderMap::new();
        headers.insert("X-Webhook-Timestamp", "1700000001250".parse().unwrap());
        headers.insert("X-Webhook-Signature", signature.parse().unwrap());
        key().open(&headers, body.as_bytes(), UNIX_EPOCH + Duration::from_secs(wall_secs))
    }

    #[test]
    fn the_reference_signature_opens_and_no_other_does() {
        let Ok(Webhook::Event(event)) = open(SIGNATURE, BODY, 1_700_000_002) else { panic!() };
        assert_eq!(event.kind, "participant.joined");
        assert_eq!(event.user_name.as_deref(), Some("AI Avatar (AH)"));
        let changed = BODY.replace("u1", "u2");
        assert_eq!(open(SIGNATURE, &changed, 1_700_000_002), Err(WebhookError::WrongSignature));
        assert_eq!(open("AAAA", BODY, 1_700_000_002), Err(WebhookError::WrongSignature));
        assert_eq!(open("?", BODY, 1_700_000_002), Err(WebhookError::WrongSignature));
    }

    #[test]
    fn an_old_webhook_is_refused_though_its_signature_is_right() {
        assert!(matches!(open(SIGNATURE, BODY, 1_700_000_400), Err(WebhookError::Stale { .. })));
    }

    #[test]
    fn the_trial_of_the_address_needs_no_signature() {
        for body in [r#"{"test":"test"}"#, r#"{"test":true}"#] {
            let opened = key().open(&HeaderMap::new(), body.as_bytes(), UNIX_EPOCH);
            assert_eq!(opened, Ok(Webhook::Test));
        }
    }
}
