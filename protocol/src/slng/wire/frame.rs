//! Whatever the gateway may say, in one pass: fields looked for wherever a dialect has been seen to put them.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::answer::{Ready, Speech, SpeechWord, VendorError};
use super::field::{Field, decode_base64};
use crate::error::words;
use crate::slng::codes;
use crate::{Code, DecodeError};

#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Field<'a>>,
    #[serde(borrow)]
    data: Option<Field<'a>>,
    #[serde(borrow)]
    audio: Option<Field<'a>>,
    #[serde(borrow)]
    audio_base64: Option<Field<'a>>,
    #[serde(borrow, rename = "isFinal", alias = "is_final")]
    is_final: Option<Field<'a>>,
    #[serde(borrow)]
    session_id: Option<Field<'a>>,
    #[serde(borrow, alias = "slng_request_id")]
    request_id: Option<Field<'a>>,
    word_timestamps: Option<Value>,
    // Errors.
    #[serde(borrow)]
    pub(super) error: Option<Field<'a>>,
    #[serde(borrow)]
    code: Option<Field<'a>>,
    #[serde(borrow)]
    status_code: Option<Field<'a>>,
    #[serde(borrow)]
    err_code: Option<Field<'a>>,
    #[serde(borrow)]
    error_code: Option<Field<'a>>,
    #[serde(borrow)]
    message: Option<Field<'a>>,
    #[serde(borrow)]
    description: Option<Field<'a>>,
    #[serde(borrow)]
    error_message: Option<Field<'a>>,
    #[serde(borrow)]
    retry_after: Option<Field<'a>>,
    // Recognition.
    #[serde(borrow)]
    transcript: Option<Field<'a>>,
    #[serde(borrow)]
    text: Option<Field<'a>>,
    channel: Option<Value>,
    results: Option<Value>,
    #[serde(borrow)]
    confidence: Option<Field<'a>>,
    #[serde(borrow)]
    language: Option<Field<'a>>,
    #[serde(borrow)]
    start: Option<Field<'a>>,
    #[serde(borrow)]
    duration: Option<Field<'a>>,
    words: Option<Value>,
}

impl Frame<'_> {
    pub(super) fn kind(&self) -> Option<Cow<'_, str>> {
        let kind = self.kind.as_ref()?.as_str()?;
        Some(if kind.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(kind.to_ascii_lowercase())
        } else {
            Cow::Borrowed(kind)
        })
    }

    pub(super) fn says_final(&self) -> bool {
        self.is_final.as_ref().and_then(Field::as_bool).unwrap_or(false)
    }

    /// Whether the type is written as providers write theirs, not as the gateway does.
    pub(super) fn is_capitalised(&self) -> bool {
        let kind = self.kind.as_ref().and_then(Field::as_str).unwrap_or_default();
        kind.starts_with(|first: char| first.is_ascii_uppercase())
    }

    pub(super) fn ready(&self) -> Ready {
        let name = |field: &'_ Option<Field<'_>>| field.as_ref().and_then(Field::as_str).map(words);
        Ready { session_id: name(&self.session_id), request_id: name(&self.request_id) }
    }

    pub(super) fn event(&self) -> &str {
        let data = |key: &str| self.data.as_ref().and_then(|data| data.get(key)).and_then(Value::as_str);
        data("event").or_else(|| data("event_type")).unwrap_or_default()
    }

    pub(super) fn audio(&self, text: &str) -> Result<Option<Vec<u8>>, DecodeError> {
        let nested = || self.data.as_ref().and_then(|data| data.get("audio")).and_then(Value::as_str);
        let top = |field: &'_ Option<Field<'_>>| field.as_ref().and_then(Field::as_str).map(decode_base64);
        let found = top(&self.data)
            .or_else(|| nested().map(decode_base64))
            .or_else(|| top(&self.audio))
            .or_else(|| top(&self.audio_base64));
        match found {
            None => Ok(None),
            Some(Some(audio)) => Ok(Some(audio)),
            Some(None) => Err(DecodeError::new("audio that is no base64", text)),
        }
    }

    pub(super) fn word_times(&self) -> Option<Vec<(String, f64, f64)>> {
        let nested = || self.data.as_ref().and_then(|data| data.get("word_timestamps"));
        let times = self.word_timestamps.as_ref().or_else(nested)?;
        let list = |key: &str| times.get(key).and_then(Value::as_array);
        let spans = list("start")?.iter().zip(list("end")?);
        let words = list("words")?.iter().zip(spans);
        words
            .map(|(word, (start, end))| Some((word.as_str()?.to_owned(), start.as_f64()?, end.as_f64()?)))
            .collect()
    }

    pub(super) fn vendor_error(&self) -> VendorError {
        let message = self.error_text();
        let code = self.error_name();
        // The gateway reports a refused provider key as an unreachable provider; only the text tells.
        let refused = ["401", "403"].iter().any(|status| message.contains(status));
        let code = if code == codes::BACKEND_CONNECTION && refused { codes::PROVIDER_AUTH } else { code };
        VendorError { code, message, retry_after: self.stated_wait() }
    }

    /// Seconds under the name of the HTTP header: the sources show no such field, and no other place for it.
    fn stated_wait(&self) -> Option<Duration> {
        let inner = |field: &'_ Option<Field<'_>>| field.as_ref()?.get("retry_after")?.as_f64();
        let top = self.retry_after.as_ref().and_then(Field::as_f64);
        let seconds = top.or_else(|| inner(&self.data)).or_else(|| inner(&self.error))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn error_text(&self) -> String {
        let nested = |key: &str| self.data.as_ref().and_then(|data| data.get(key)).and_then(Value::as_str);
        let top = |field: &'_ Option<Field<'_>>| field.as_ref().and_then(Field::as_str).map(str::to_owned);
        let inner = || self.error.as_ref()?.get("message")?.as_str().map(str::to_owned);
        let found =
            ["message", "description", "error"].into_iter().find_map(|key| nested(key).map(str::to_owned));
        let found = found.or_else(|| top(&self.message)).or_else(|| top(&self.description));
        let found = found.or_else(|| top(&self.error)).or_else(inner).or_else(|| top(&self.error_message));
        let found = found.or_else(|| nested("code").map(str::to_owned)).or_else(|| top(&self.code));
        let mut text = found.unwrap_or_else(|| "no message".to_owned());
        if let Some((cut, _)) = text.char_indices().nth(ERROR_CHARS) {
            text.truncate(cut);
        }
        text
    }

    fn error_name(&self) -> Code {
        let keys = ["status_code", "code", "err_code", "error_code"];
        let nested = keys.iter().filter_map(|key| self.data.as_ref()?.get(key)).filter_map(named);
        let inner = keys.iter().filter_map(|key| self.error.as_ref()?.get(key)).filter_map(named);
        let top = [&self.status_code, &self.code, &self.err_code, &self.error_code];
        let top = top.into_iter().flatten().filter_map(|field| match field {
            Field::Text(text) => named_text(text),
            Field::Other(value) => named(value),
        });
        nested.chain(top).chain(inner).next().unwrap_or(codes::UNKNOWN)
    }

    pub(super) fn speech(&self) -> Speech {
        let channel = self.channel.as_ref().and_then(|channel| channel.pointer("/alternatives/0"));
        let results = self.results.as_ref().and_then(|results| results.pointer("/0/alternatives/0"));
        let best = channel.or(results);
        let said = |field: &'_ Option<Field<'_>>| {
            field.as_ref().and_then(Field::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let of_best = |key: &str| best.and_then(|best| best.get(key)).filter(|value| !value.is_null());
        let text = said(&self.transcript).or_else(|| said(&self.text));
        let text = text.or_else(|| of_best("transcript")?.as_str().map(str::to_owned));
        let confidence = self.confidence.as_ref().and_then(Field::as_f64);
        let confidence = confidence.or_else(|| of_best("confidence")?.as_f64()).filter(|value| *value > 0.0);
        let language = said(&self.language).or_else(|| of_best("language")?.as_str().map(str::to_owned));
        let seconds = |field: &'_ Option<Field<'_>>| field.as_ref().and_then(Field::as_f64);
        let span = match (seconds(&self.start), seconds(&self.duration)) {
            (Some(start), Some(duration)) if start >= 0.0 && duration >= 0.0 => {
                Some((start, start + duration))
            }
            _ => None,
        };
        let words = self.words.as_ref().or_else(|| of_best("words")).and_then(Value::as_array);
        Speech {
            text: text.unwrap_or_default(),
            confidence: confidence.map(|value| value.min(1.0) as f32),
            language,
            span,
            words: words.map(|words| words.iter().filter_map(read_word).collect()).unwrap_or_default(),
        }
    }
}

fn read_word(word: &Value) -> Option<SpeechWord> {
    let text = ["punctuated_word", "word", "text"].iter().find_map(|key| word.get(key)?.as_str())?;
    let seconds = |key: &str| word.get(key)?.as_f64().filter(|value| value.is_finite() && *value >= 0.0);
    let (start, end) = (seconds("start")?, seconds("end")?);
    let confidence = word.get("confidence").and_then(Value::as_f64).map(|value| value as f32);
    // A provider that has no times may send zeros.
    (start <= end && end > 0.0).then(|| SpeechWord { text: text.to_owned(), start, end, confidence })
}

/// An error's name from a number or a string; booleans mean nothing.
fn named(value: &Value) -> Option<Code> {
    match value {
        Value::Number(number) => number.as_u64()?.try_into().ok().map(codes::status_code),
        Value::String(text) => named_text(text),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
    }
}

fn named_text(text: &str) -> Option<Code> {
    codes::error_code(text).or_else(|| text.trim().parse().ok().map(codes::status_code))
}

/// Characters kept of an error's message.
const ERROR_CHARS: usize = 500;
