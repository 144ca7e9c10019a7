//! One JSON value whose type the peer does not keep to.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A string borrowed from the message where it can be, or anything else.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::slng) enum Field<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Other(Value),
}

impl Field<'_> {
    pub(in crate::slng) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(value) => value.as_str(),
        }
    }

    /// A number, or a string that holds one.
    pub(in crate::slng) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Other(value) => value.as_f64(),
        }
        .filter(|number| number.is_finite())
    }

    /// `true`, 1, or a string that says so.
    pub(in crate::slng) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Text(text) => match text.trim() {
                "true" | "True" | "1" => Some(true),
                "false" | "False" | "0" => Some(false),
                _ => None,
            },
            Self::Other(value) => value.as_bool().or_else(|| value.as_f64().map(|number| number != 0.0)),
        }
    }

    /// The member `key`, if this is an object that has it.
    pub(in crate::slng) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Text(_) => None,
            Self::Other(value) => value.get(key).filter(|member| !member.is_null()),
        }
    }
}

/// Standard base64, forgiving about white space around it.
pub(in crate::slng) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(text.trim()).ok()
}

/// Writes one of our own messages.
pub(in crate::slng) fn encode<T: Serialize>(message: &T) -> String {
    match serde_json::to_string(message) {
        Ok(text) => text,
        Err(_) => {
            unreachable!("our messages are structs of strings, numbers and lists, which always serialise")
        }
    }
}
