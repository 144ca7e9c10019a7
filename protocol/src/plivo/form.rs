//! Parameters of a webhook: a form, a query string or JSON, read and written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde_json::Value;

use crate::DecodeError;
use crate::json::decode;

/// The parameters of one webhook, unknown ones included: they are part of what is signed.
///
/// ```
/// use voxline_protocol::plivo::Params;
///
/// let params = Params::from_form("From=%2B14155550100&CallStatus=in-progress");
/// assert_eq!(params.get("From"), Some("+14155550100"));
/// assert_eq!(Params::from_body(r#"{"From":"+14155550100","CallStatus":"in-progress"}"#)?, params);
/// # Ok::<(), voxline_protocol::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Params(BTreeMap<String, Value>);

impl Params {
    /// No parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `name=value&name=value`, percent-encoded, `+` for a space. A repeated name holds a list.
    #[must_use]
    pub fn from_form(form: &str) -> Self {
        decode_pairs(form).into_iter().collect()
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn from_json(json: &str) -> Result<Self, DecodeError> {
        decode(json).map(Self)
    }

    /// Reads either, by the first character.
    ///
    /// # Errors
    /// It begins like JSON and is none.
    pub fn from_body(body: &str) -> Result<Self, DecodeError> {
        if body.trim_start().starts_with('{') { Self::from_json(body) } else { Ok(Self::from_form(body)) }
    }

    /// Adds a value; one that is already there becomes the first of a list.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let value = Value::String(value.into());
        match self.0.entry(name.into()) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(mut entry) => {
                if let Some(values) = entry.get_mut().as_array_mut() {
                    values.push(value);
                } else {
                    let first = entry.get_mut().take();
                    entry.insert(Value::Array(vec![first, value]));
                }
            }
        }
    }

    /// The value of `name`, if it is a string.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, one pair for each value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        self.0
            .iter()
            .flat_map(|(name, value)| values(value).into_iter().map(move |value| (name.as_str(), value)))
    }

    /// Writes them as a form.
    #[must_use]
    pub fn to_form(&self) -> String {
        let pairs = self.iter().map(|(name, value)| format!("{}={}", encode(name), encode(&value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// The value of `name` as text, numbers written out.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(|value| values(value).into_iter().next())
    }

    /// Name and value after one another, sorted, as Plivo signs a form.
    pub(super) fn signed(&self) -> String {
        let mut text = String::new();
        render(&self.0, &mut text);
        text
    }
}

impl FromIterator<(String, String)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut params = Self::new();
        for (name, value) in pairs {
            params.push(name, value);
        }
        params
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_form())
    }
}

fn render<'a>(map: impl IntoIterator<Item = (&'a String, &'a Value)>, text: &mut String) {
    for (name, value) in map {
        match value {
            Value::Object(inner) => {
                text.push_str(name);
                let inner: BTreeMap<_, _> = inner.iter().collect();
                render(inner, text);
            }
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
                let mut values = values(value);
                values.sort();
                for value in values {
                    text.push_str(name);
                    text.push_str(&value);
                }
            }
        }
    }
}

fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
            vec![plain(value)]
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Splits and decodes `a=b&c=d`; blank values are kept.
pub(super) fn decode_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode_component(name), decode_component(value)))
        .collect()
}

fn decode_component(text: &str) -> String {
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(super) fn encode(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_form_survives_the_round_trip(pairs in proptest::collection::vec((".{0,8}", ".{0,12}"), 0..6)) {
            let params: Params = pairs.into_iter().filter(|(name, _)| !name.is_empty()).collect();
            prop_assert_eq!(Params::from_form(&params.to_form()), params);
        }

        #[test]
        fn any_body_is_survived(body in ".{0,200}") {
            let _ = Params::from_body(&body).map(|params| params.signed());
        }
    }
}
