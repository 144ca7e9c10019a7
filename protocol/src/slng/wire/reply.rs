//! What our servers say: the gateway's messages, written.

use serde::Serialize;
use serde_json::{Value, json};

use super::field::encode;
use crate::slng::{Quirks, SlngQuirk};

/// A server's message in the unified dialect.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::slng) enum Reply<'a> {
    AudioChunk { data: &'a str, sequence: u64 },
    AudioEnd { duration: f64 },
    Cleared,
    FinalTranscript(ReplySpeech<'a>),
    Flushed,
    PartialTranscript(ReplySpeech<'a>),
    Ready { session_id: &'a str, slng_request_id: &'a str },
}

#[derive(Debug, Clone, Serialize)]
pub(in crate::slng) struct ReplySpeech<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) transcript: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) confidence: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) duration: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::slng) words: Vec<ReplyWord<'a>>,
}

#[derive(Debug, Clone, Serialize)]
pub(in crate::slng) struct ReplyWord<'a> {
    pub(in crate::slng) word: &'a str,
    pub(in crate::slng) start: f64,
    pub(in crate::slng) end: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) confidence: Option<f32>,
}

/// A transcript as Deepgram writes it.
#[derive(Debug, Serialize)]
pub(in crate::slng) struct Results<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    is_final: bool,
    start: f64,
    duration: f64,
    channel: Channel<'a>,
}

#[derive(Debug, Serialize)]
struct Channel<'a> {
    alternatives: [ReplySpeech<'a>; 1],
}

impl<'a> Results<'a> {
    pub(in crate::slng) fn new(is_final: bool, span: (f64, f64), speech: ReplySpeech<'a>) -> Self {
        let (start, end) = span;
        let channel = Channel { alternatives: [speech] };
        Self { kind: "Results", is_final, start, duration: end - start, channel }
    }
}

/// An error in the shape that `quirks` ask for.
pub(in crate::slng) fn write_error(quirks: Quirks, code: &str, message: &str) -> String {
    let has = |quirk| quirks.contains(quirk);
    let mut fields = json!({ "message": message });
    if !has(SlngQuirk::ErrorCodeless) {
        fields["code"] = Value::from(code);
    }
    if has(SlngQuirk::ErrorTypeless) {
        return encode(&json!({ "error": message }));
    }
    let kind = if has(SlngQuirk::ErrorCapitalised) { "Error" } else { "error" };
    if has(SlngQuirk::ErrorNested) {
        return encode(&json!({ "type": kind, "data": fields }));
    }
    fields["type"] = Value::from(kind);
    encode(&fields)
}
