//! What a meeting token says about itself, read without the key that would prove it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64_simd::URL_SAFE_NO_PAD as BASE64_URL;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::RoomUrl;
use crate::{Code, Secret};

/// Something about a room or its token that will fail, or may.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{seen}; {remedy}")]
pub struct RoomFinding {
    /// The stable name.
    pub code: Code,
    /// What was seen; never the token.
    pub seen: String,
    /// What to do.
    pub remedy: &'static str,
    /// True if it may work all the same.
    pub is_warning: bool,
}

impl RoomFinding {
    pub(crate) fn new(code: Code, seen: impl Into<String>, remedy: &'static str) -> Self {
        Self { code, seen: seen.into(), remedy, is_warning: false }
    }

    fn warning(self) -> Self {
        Self { is_warning: true, ..self }
    }
}

/// The claims of a meeting token. The signature is not checked: only the owner of the domain can.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use voxline_protocol::Secret;
/// use voxline_protocol::daily::{RoomUrl, TokenClaims};
///
/// let token = Secret::new("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZXhwIjoxNzAwMDAzNjAwfQ.c2ln")?;
/// let claims = TokenClaims::decode(&token)?;
/// assert_eq!(claims.room_name.as_deref(), Some("demo-room"));
///
/// let (room, _) = RoomUrl::parse("https://agenthuman.daily.co/demo-room")?;
/// let early = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// assert!(claims.check(&room, early, Duration::from_secs(600)).is_empty());
/// let late = UNIX_EPOCH + Duration::from_secs(1_700_003_600);
/// assert_eq!(claims.check(&room, late, Duration::ZERO)[0].code.as_str(), "daily/token-expired");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct TokenClaims {
    /// The room it opens; `None` opens every room of the domain.
    #[serde(rename = "r")]
    pub room_name: Option<String>,
    /// The domain.
    #[serde(rename = "d")]
    pub domain_id: Option<String>,
    /// When it ends, in Unix seconds; `None` is never.
    #[serde(rename = "exp")]
    pub expires: Option<f64>,
    /// When it begins, in Unix seconds.
    #[serde(rename = "nbf")]
    pub not_before: Option<f64>,
    /// Whether its bearer owns the meeting.
    #[serde(rename = "o")]
    pub is_owner: Option<bool>,
    /// The display name.
    #[serde(rename = "u")]
    pub user_name: Option<String>,
    /// The stable user id.
    #[serde(rename = "ud")]
    pub user_id: Option<String>,
    /// Whether its bearer is thrown out when it ends, not only kept from joining.
    #[serde(rename = "ejt")]
    pub ejects_at_expiry: Option<bool>,
    /// Seconds after joining at which its bearer is thrown out.
    #[serde(rename = "eje")]
    pub ejects_after: Option<f64>,
}

impl TokenClaims {
    /// Reads a token's claims; unknown ones are ignored.
    ///
    /// # Errors
    /// It is not three parts of base64url, or not a JSON object signed with HS256.
    pub fn decode(token: &Secret) -> Result<Self, RoomFinding> {
        let bad = |what: &str| {
            RoomFinding::new(
                Code::new("daily/token-malformed"),
                format!("room token {what}"),
                "use the meeting token that came with the room",
            )
        };
        let parts: Vec<_> = token.expose().split('.').collect();
        let [header, payload, signature] = parts[..] else { return Err(bad("has not three parts")) };
        let decoded = |part: &str| BASE64_URL.decode_to_vec(part).map_err(|_| bad("is not base64url"));
        decoded(signature)?;
        let header: Value =
            serde_json::from_slice(&decoded(header)?).map_err(|_| bad("has a header that is no JSON"))?;
        if header["alg"] != "HS256" {
            return Err(bad("is not signed with HS256"));
        }
        serde_json::from_slice(&decoded(payload)?).map_err(|_| bad("has claims that are no JSON object"))
    }

    /// What is wrong with it for this room, at this time, for a conversation of this length. Empty is well.
    #[must_use]
    pub fn check(&self, room: &RoomUrl, wall: SystemTime, planned: Duration) -> Vec<RoomFinding> {
        let now = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut findings = Vec::new();
        let mut find = |name, seen: String, remedy| {
            findings.push(RoomFinding::new(Code::new(name), seen, remedy));
        };
        match self.expires {
            Some(at) if at <= now + MARGIN => {
                let seen = format!("room token ends {}", from_now(at - now));
                find("daily/token-expired", seen, "create a new session, or a new token for your own room");
            }
            Some(at) if self.ejects_at_expiry == Some(true) && at < now + planned.as_secs_f64() => {
                let seen = format!("room token ends {} and throws its bearer out", from_now(at - now));
                find("daily/token-ejects", seen, "ask for a token that lasts as long as the conversation");
            }
            Some(_) => {}
            None => {
                let seen = "room token never expires".to_owned();
                find("daily/token-unbounded", seen, "ask for a token with `exp`");
            }
        }
        if let Some(at) = self.not_before.filter(|at| *at > now + SKEW) {
            let seen = format!("room token begins {}", from_now(at - now));
            find("daily/token-not-yet", seen, "wait, or check this machine's clock");
        }
        match &self.room_name {
            Some(name) if name != room.name() => {
                let seen = format!("room token is for `{name}`, the room is `{}`", room.name());
                find("daily/token-wrong-room", seen, "use the token that came with this room");
            }
            Some(_) => {}
            None => {
                let seen = "room token opens every room of its domain".to_owned();
                find("daily/token-unbounded", seen, "ask for a token with `room_name`");
            }
        }
        if let Some(after) = self.ejects_after.filter(|after| *after < planned.as_secs_f64()) {
            let seen = format!("room token throws its bearer out {after} s after joining");
            find("daily/token-ejects", seen, "ask for a token that lasts as long as the conversation");
        }
        let warns = |finding: &RoomFinding| {
            ["daily/token-ejects", "daily/token-unbounded"].contains(&finding.code.as_str())
        };
        findings
            .into_iter()
            .map(|finding| if warns(&finding) { finding.warning() } else { finding })
            .collect()
    }
}

fn from_now(seconds: f64) -> impl fmt::Display {
    if seconds < 0.0 { format!("{:.0} s ago", -seconds) } else { format!("in {seconds:.0} s") }
}

/// Less than this is too little to join with, in seconds.
const MARGIN: f64 = 30.0;
/// How far two clocks may be apart, in seconds.
const SKEW: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Secret {
        let parts = [r#"{"alg":"HS256","typ":"JWT"}"#, claims, "signature"];
        Secret::new(&parts.map(|part| BASE64_URL.encode_to_string(part)).join(".")).unwrap()
    }

    #[test]
    fn each_fault_of_a_token_has_its_code() {
        let (room, _) = RoomUrl::parse("https://a.daily.co/demo").unwrap();
        let wall = UNIX_EPOCH + Duration::from_secs(1000);
        for (claims, expected) in [
            (r#"{"r":"demo","exp":5000}"#, &[][..]),
            (r#"{"r":"demo","exp":1029}"#, &["daily/token-expired"]),
            (r#"{"r":"demo","exp":5000,"nbf":1006}"#, &["daily/token-not-yet"]),
            (r#"{"r":"Demo","exp":5000}"#, &["daily/token-wrong-room"]),
            (r#"{"exp":5000}"#, &["daily/token-unbounded"]),
            (r#"{"r":"demo"}"#, &["daily/token-unbounded"]),
            (r#"{"r":"demo","exp":1100,"ejt":true}"#, &["daily/token-ejects"]),
            (r#"{"r":"demo","exp":5000,"eje":60}"#, &["daily/token-ejects"]),
        ] {
            let claims_read = TokenClaims::decode(&token(claims)).unwrap();
            let findings = claims_read.check(&room, wall, Duration::from_secs(600));
            let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
            assert_eq!(codes, expected, "{claims}");
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        for bad in ["ah_live_1", "a.b.c", "e30.e30.e30", "....", "eyJhbGciOiJub25lIn0.e30.e30"] {
            let finding = TokenClaims::decode(&Secret::new(bad).unwrap()).unwrap_err();
            assert_eq!(finding.code.as_str(), "daily/token-malformed", "{bad}");
            assert!(!finding.to_string().contains(bad), "the token is not shown");
        }
    }
}
