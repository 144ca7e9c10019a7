//! Tokens that let one call's stream in, for servers whose upgrade cannot show a signature.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use super::types::CallId;
use crate::Secret;

/// Issues and redeems tokens for the stream's address, each bound to one call.
///
/// Plivo logs the addresses it dials, so a token is worth nothing once its call has used it: it lets in
/// as many links as Plivo dials for one stream (three), within its lifetime, and for its call only.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_protocol::Secret;
/// use voxline_protocol::plivo::{CallId, StreamTokens};
///
/// let now = Instant::now();
/// let mut tokens = StreamTokens::new(Secret::new("a-key-of-this-process").unwrap());
/// let call = CallId::from("11111111-2222-3333-4444-555555555555");
/// let token = tokens.issue(now, &call);
/// assert!(tokens.redeem(now, &call, &token).is_ok());
/// assert!(tokens.redeem(now, &CallId::from("another"), &token).is_err());
/// assert!(tokens.redeem(now + Duration::from_secs(3_600), &call, &token).is_err());
/// ```
#[derive(Debug)]
pub struct StreamTokens {
    key: Secret,
    lifetime: Duration,
    serial: u64,
    open: HashMap<CallId, Open>,
}

#[derive(Debug)]
struct Open {
    serial: u64,
    /// `None` where the lifetime has no end.
    until: Option<Instant>,
    links: u32,
}

impl Open {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl StreamTokens {
    /// Tokens made with `key`, good for ten minutes.
    #[must_use]
    pub fn new(key: Secret) -> Self {
        Self { key, lifetime: LIFETIME, serial: 0, open: HashMap::new() }
    }

    /// Makes tokens good for `lifetime` after they are issued.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// A token for `call`, of letters and digits; an earlier one of the same call is void.
    pub fn issue(&mut self, now: Instant, call: &CallId) -> String {
        self.open.retain(|_, open| !open.is_over(now));
        self.serial += 1;
        let open = Open { serial: self.serial, until: now.checked_add(self.lifetime), links: LINKS };
        self.open.insert(call.clone(), open);
        let mac = self.mac(call, self.serial).finalize().into_bytes();
        mac[..TOKEN_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Lets one link of `call` in, comparing in constant time.
    ///
    /// # Errors
    /// The token is not this call's, too old, or used up.
    pub fn redeem(&mut self, now: Instant, call: &CallId, token: &str) -> Result<(), TokenError> {
        let open = self.open.get(call).ok_or(TokenError::Unknown)?;
        let given = read_hex(token).ok_or(TokenError::Unknown)?;
        self.mac(call, open.serial).verify_truncated_left(&given).map_err(|_| TokenError::Unknown)?;
        if open.is_over(now) {
            return Err(TokenError::Expired);
        }
        let Some(open) = self.open.get_mut(call).filter(|open| open.links > 0) else {
            return Err(TokenError::UsedUp);
        };
        open.links -= 1;
        Ok(())
    }

    fn mac(&self, call: &CallId, serial: u64) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()) else {
            unreachable!("HMAC takes keys of any length: RFC 2104 section 2")
        };
        mac.update(&serial.to_be_bytes());
        mac.update(call.as_str().as_bytes());
        mac
    }
}

/// Why a link is not let in.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Its time is over.
    #[error("stream token has expired; the answer XML is older than its lifetime")]
    Expired,
    /// No token like this was issued for this call.
    #[error("stream token was not issued for this call")]
    Unknown,
    /// Every link it allows was opened.
    #[error("stream token is used up; Plivo dials one stream three times at most")]
    UsedUp,
}

fn read_hex(text: &str) -> Option<[u8; TOKEN_BYTES]> {
    let mut bytes = [0; TOKEN_BYTES];
    if text.len() != 2 * TOKEN_BYTES || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

const LIFETIME: Duration = Duration::from_secs(600);
/// One dial and two more.
const LINKS: u32 = 3;
/// 128 bits.
const TOKEN_BYTES: usize = 16;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
mod tests {
    use super::*;

    #[test]
    fn a_token_lets_in_its_call_three_times_and_no_other() {
        let now = Instant::now();
        let mut tokens = StreamTokens::new(Secret::new("key").unwrap());
        let (call, other) = (CallId::from("a"), CallId::from("b"));
        let token = tokens.issue(now, &call);
        let others = tokens.issue(now, &other);
        assert_eq!(tokens.redeem(now, &other, &token), Err(TokenError::Unknown));
        for rubbish in ["", "zz", "é", &"g".repeat(32), &others] {
            assert_eq!(tokens.redeem(now, &call, rubbish), Err(TokenError::Unknown), "{rubbish}");
        }
        for _ in 0..3 {
            assert_eq!(tokens.redeem(now, &call, &token), Ok(()));
        }
        assert_eq!(tokens.redeem(now, &call, &token), Err(TokenError::UsedUp));
        assert_eq!(tokens.redeem(now + LIFETIME, &other, &others), Err(TokenError::Expired));
        let newer = tokens.issue(now, &call);
        assert_eq!(tokens.redeem(now, &call, &token), Err(TokenError::Unknown));
        assert_eq!(tokens.redeem(now, &call, &newer), Ok(()));
    }
}
