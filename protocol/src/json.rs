//! Reading JSON from peers that vary.

use serde::Deserialize;

use crate::DecodeError;

/// Parses `text`, keeping an excerpt of it in the error.
pub(crate) fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| DecodeError::new(error, text))
}
