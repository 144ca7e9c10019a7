//! What the gateway says, in every dialect its routes have been seen to speak.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::field::Field;
use crate::error::words;
use crate::json::decode;
use crate::slng::codes;
use crate::{Code, DecodeError};

/// A speech route's text message.
#[derive(Debug)]
pub(in crate::slng) enum TtsMessage {
    /// Audio in base64, already decoded; some dialects end the utterance in the same message.
    Audio {
        audio: Vec<u8>,
        last: Option<Terminal>,
    },
    Cleared,
    Error(VendorError),
    /// Known, and of no use: metadata, segment boundaries.
    Ignored,
    Ready(Ready),
    Terminal(Terminal),
    Unhandled(String),
    Words(Vec<(String, f64, f64)>),
}

/// By which word an utterance was ended. A route that says both says one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slng) enum Terminal {
    AudioEnd,
    Flushed,
    Other,
}

/// A recognition route's text message.
#[derive(Debug)]
pub(in crate::slng) enum SttMessage {
    Error(VendorError),
    Final(Speech),
    Ignored,
    Partial(Speech),
    Ready(Ready),
    Unhandled(String),
}

/// What the gateway calls a link it has opened.
#[derive(Debug)]
pub(in crate::slng) struct Ready {
    pub(in crate::slng) session_id: Option<String>,
    pub(in crate::slng) request_id: Option<String>,
}

/// Recognised speech with times in seconds from the link's first sample, where there are any.
#[derive(Debug, Default, PartialEq)]
pub(in crate::slng) struct Speech {
    pub(in crate::slng) text: String,
    pub(in crate::slng) confidence: Option<f32>,
    pub(in crate::slng) language: Option<String>,
    /// The span a native `Results` message covers.
    pub(in crate::slng) span: Option<(f64, f64)>,
    pub(in crate::slng) words: Vec<SpeechWord>,
}

#[derive(Debug, PartialEq)]
pub(in crate::slng) struct SpeechWord {
    pub(in crate::slng) text: String,
    pub(in crate::slng) start: f64,
    pub(in crate::slng) end: f64,
    pub(in crate::slng) confidence: Option<f32>,
}

/// An error in any of its shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::slng) struct VendorError {
    pub(in crate::slng) code: Code,
    pub(in crate::slng) message: String,
    /// How long it asks to be left alone.
    pub(in crate::slng) retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Frame<'a> {
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
    error: Option<Field<'a>>,
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

/// Reads a text message of a speech route.
pub(in crate::slng) fn read_tts(text: &str) -> Result<TtsMessage, DecodeError> {
    let frame: Frame<'_> = decode(text)?;
    let Some(kind) = frame.kind() else { return read_untyped(&frame, text) };
    let terminal = match &*kind {
        "audio_end" => Terminal::AudioEnd,
        "flushed" => Terminal::Flushed,
        "end" | "done" => Terminal::Other,
        "final" if frame.says_final() => Terminal::Other,
        "event" => match frame.event() {
            "complete" | "completed" | "done" | "end" | "final" => Terminal::Other,
            "error" | "failed" => return Ok(TtsMessage::Error(frame.vendor_error())),
            _ => return Ok(TtsMessage::Ignored),
        },
        "audio_chunk" | "audio" | "chunk" => {
            let audio = frame.audio(text)?;
            let audio = audio.ok_or_else(|| DecodeError::new("no audio in an audio message", text))?;
            let last = frame.says_final().then_some(Terminal::Other);
            return Ok(TtsMessage::Audio { audio, last });
        }
        "cleared" => return Ok(TtsMessage::Cleared),
        "error" => return Ok(TtsMessage::Error(frame.vendor_error())),
        "ready" => return Ok(TtsMessage::Ready(frame.ready())),
        // A provider's own greeting, capitalised as the gateway's never is: there is no `ready` on its routes.
        "metadata" if frame.is_capitalised() => return Ok(TtsMessage::Ready(frame.ready())),
        "timestamps" => return Ok(frame.word_times().map_or(TtsMessage::Ignored, TtsMessage::Words)),
        "control_ack" | "final" | "metadata" | "open" | "segment_end" | "segment_start" | "warning" => {
            return Ok(TtsMessage::Ignored);
        }
        _ => return Ok(TtsMessage::Unhandled(kind.into_owned())),
    };
    Ok(match frame.audio(text)? {
        Some(audio) => TtsMessage::Audio { audio, last: Some(terminal) },
        None => TtsMessage::Terminal(terminal),
    })
}

/// A provider's own message that the gateway let through without a `type`.
fn read_untyped(frame: &Frame<'_>, text: &str) -> Result<TtsMessage, DecodeError> {
    if frame.error.is_some() {
        return Ok(TtsMessage::Error(frame.vendor_error()));
    }
    let last = frame.says_final().then_some(Terminal::Other);
    Ok(match (frame.audio(text)?, last) {
        (Some(audio), last) => TtsMessage::Audio { audio, last },
        (None, Some(last)) => TtsMessage::Terminal(last),
        (None, None) => TtsMessage::Unhandled(String::new()),
    })
}

/// Reads a text message of a recognition route.
pub(in crate::slng) fn read_stt(text: &str) -> Result<SttMessage, DecodeError> {
    let frame: Frame<'_> = decode(text)?;
    let Some(kind) = frame.kind() else {
        return Ok(match frame.error {
            Some(_) => SttMessage::Error(frame.vendor_error()),
            None => SttMessage::Unhandled(String::new()),
        });
    };
    Ok(match &*kind {
        "ready" => SttMessage::Ready(frame.ready()),
        "partial_transcript" => SttMessage::Partial(frame.speech()),
        "final_transcript" => SttMessage::Final(frame.speech()),
        "results" if frame.says_final() => SttMessage::Final(frame.speech()),
        "results" => SttMessage::Partial(frame.speech()),
        "error" => SttMessage::Error(frame.vendor_error()),
        "control_ack" | "metadata" | "open" | "speechstarted" | "utterance_end" | "utteranceend"
        | "warning" => SttMessage::Ignored,
        _ => SttMessage::Unhandled(kind.into_owned()),
    })
}

/// The error inside a binary message that should have been audio; `None` if it is no JSON object with one.
pub(in crate::slng) fn error_body(bytes: &[u8]) -> Option<VendorError> {
    if !bytes.trim_ascii().starts_with(b"{") || !bytes.trim_ascii().ends_with(b"}") {
        return None;
    }
    let frame: Frame<'_> = serde_json::from_slice(bytes).ok()?;
    let says_error = frame.error.is_some() || frame.kind().is_some_and(|kind| kind == "error");
    says_error.then(|| frame.vendor_error())
}

/// Standard base64, forgiving about white space around it.
pub(in crate::slng) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(text.trim()).ok()
}

impl Frame<'_> {
    fn kind(&self) -> Option<Cow<'_, str>> {
        let kind = self.kind.as_ref()?.as_str()?;
        Some(if kind.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(kind.to_ascii_lowercase())
        } else {
            Cow::Borrowed(kind)
        })
    }

    fn says_final(&self) -> bool {
        self.is_final.as_ref().and_then(Field::as_bool).unwrap_or(false)
    }

    /// Whether the type is written as providers write theirs, not as the gateway does.
    fn is_capitalised(&self) -> bool {
        let kind = self.kind.as_ref().and_then(Field::as_str).unwrap_or_default();
        kind.starts_with(|first: char| first.is_ascii_uppercase())
    }

    fn ready(&self) -> Ready {
        let name = |field: &'_ Option<Field<'_>>| field.as_ref().and_then(Field::as_str).map(words);
        Ready { session_id: name(&self.session_id), request_id: name(&self.request_id) }
    }

    fn event(&self) -> &str {
        let data = |key: &str| self.data.as_ref().and_then(|data| data.get(key)).and_then(Value::as_str);
        data("event").or_else(|| data("event_type")).unwrap_or_default()
    }

    fn audio(&self, text: &str) -> Result<Option<Vec<u8>>, DecodeError> {
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

    fn word_times(&self) -> Option<Vec<(String, f64, f64)>> {
        let nested = || self.data.as_ref().and_then(|data| data.get("word_timestamps"));
        let times = self.word_timestamps.as_ref().or_else(nested)?;
        let list = |key: &str| times.get(key).and_then(Value::as_array);
        let spans = list("start")?.iter().zip(list("end")?);
        let words = list("words")?.iter().zip(spans);
        words
            .map(|(word, (start, end))| Some((word.as_str()?.to_owned(), start.as_f64()?, end.as_f64()?)))
            .collect()
    }

    fn vendor_error(&self) -> VendorError {
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

    fn speech(&self) -> Speech {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_in_every_shape() {
        for (text, code, message) in [
            (r#"{"type":"error","code":"provider_error","message":"m"}"#, codes::PROVIDER, "m"),
            (
                r#"{"type":"Error","code":"backend_connection_failed","message":"m"}"#,
                codes::BACKEND_CONNECTION,
                "m",
            ),
            (r#"{"type":"error","data":{"code":"auth_error","message":"m"}}"#, codes::AUTH, "m"),
            (r#"{"type":"error","data":{"status_code":502,"description":"d"}}"#, codes::PROVIDER, "d"),
            (r#"{"type":"error","message":"m"}"#, codes::UNKNOWN, "m"),
            (r#"{"type":"error","error":"e"}"#, codes::UNKNOWN, "e"),
            (r#"{"type":"error","error":{"code":"429","message":"slow"}}"#, codes::RATE_LIMIT, "slow"),
            (
                r#"{"type":"error","error_code":400,"error_message":"m","stream_id":"1"}"#,
                codes::INVALID_REQUEST,
                "m",
            ),
            (r#"{"error":"e"}"#, codes::UNKNOWN, "e"),
            (r#"{"type":"error","code":"Rate_Limit"}"#, codes::RATE_LIMIT, "Rate_Limit"),
            (r#"{"type":"error","code":true}"#, codes::UNKNOWN, "no message"),
            (
                r#"{"type":"error","code":"backend_connection_failed","message":"upstream said 401"}"#,
                codes::PROVIDER_AUTH,
                "upstream said 401",
            ),
        ] {
            let TtsMessage::Error(error) = read_tts(text).unwrap() else { panic!("tts: {text}") };
            assert_eq!((error.code, error.message.as_str()), (code, message), "{text}");
            let SttMessage::Error(error) = read_stt(text).unwrap() else { panic!("stt: {text}") };
            assert_eq!((error.code, error.message.as_str()), (code, message), "{text}");
        }
    }

    #[test]
    fn a_stated_wait_is_read_where_there_is_one() {
        for (text, wait) in [
            (r#"{"type":"error","code":"rate_limit","retry_after":7}"#, Some(7.0)),
            (r#"{"type":"error","code":"rate_limit","retry_after":"2.5"}"#, Some(2.5)),
            (r#"{"type":"error","data":{"code":"rate_limit","retry_after":7}}"#, Some(7.0)),
            (r#"{"type":"error","error":{"code":429,"retry_after":7}}"#, Some(7.0)),
            (r#"{"type":"error","code":"rate_limit","retry_after":-1}"#, None),
            (r#"{"type":"error","code":"rate_limit","retry_after":1e300}"#, None),
            (r#"{"type":"error","code":"rate_limit"}"#, None),
        ] {
            let TtsMessage::Error(error) = read_tts(text).unwrap() else { panic!("{text}") };
            assert_eq!(error.retry_after.map(|wait| wait.as_secs_f64()), wait, "{text}");
        }
    }

    #[test]
    fn audio_and_ends_are_read_in_every_dialect() {
        for (text, expected) in [
            (r#"{"type":"audio_chunk","data":"AAE=","sequence":1}"#, "Audio { audio: [0, 1], last: None }"),
            (r#"{"type":"Audio","data":{"audio":"AAE="}}"#, "Audio { audio: [0, 1], last: None }"),
            (r#"{"type":"chunk","audio_base64":"AAE="}"#, "Audio { audio: [0, 1], last: None }"),
            (r#"{"audio":"AAE=","isFinal":"true"}"#, "Audio { audio: [0, 1], last: Some(Other) }"),
            (r#"{"audio":null,"isFinal":1}"#, "Terminal(Other)"),
            (r#"{"type":"audio_end","duration":1.5}"#, "Terminal(AudioEnd)"),
            (r#"{"type":"Flushed","sequence_id":0}"#, "Terminal(Flushed)"),
            (r#"{"type":"final","is_final":true}"#, "Terminal(Other)"),
            (r#"{"type":"event","data":{"event_type":"completed"}}"#, "Terminal(Other)"),
            (r#"{"type":"audio_end","audio":"AAE="}"#, "Audio { audio: [0, 1], last: Some(AudioEnd) }"),
            (r#"{"type":"metadata","request_id":"r"}"#, "Ignored"),
            (
                r#"{"type":"Metadata","request_id":"r"}"#,
                "Ready(Ready { session_id: None, request_id: Some(\"r\") })",
            ),
            (
                r#"{"type":"ready","session_id":"s"}"#,
                "Ready(Ready { session_id: Some(\"s\"), request_id: None })",
            ),
            (r#"{"type":"waltz"}"#, "Unhandled(\"waltz\")"),
            (
                r#"{"type":"timestamps","word_timestamps":{"words":["a"],"start":[0.5],"end":[1]}}"#,
                "Words([(\"a\", 0.5, 1.0)])",
            ),
        ] {
            assert_eq!(format!("{:?}", read_tts(text).unwrap()), expected, "{text}");
        }
        for text in [r#"{"type":"audio_chunk"}"#, r#"{"type":"audio_chunk","data":"§"}"#, "no json", "[1]"] {
            assert!(read_tts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_transcript_is_read_in_every_dialect() {
        for text in [
            r#"{"type":"final_transcript","transcript":"hi","confidence":0.5,"language":"en"}"#,
            r#"{"type":"final_transcript","transcript":"","text":"hi","confidence":"0.5","language":"en"}"#,
            r#"{"type":"Results","is_final":"true","channel":{"alternatives":[{"transcript":"hi","confidence":0.5,"language":"en"}]}}"#,
            r#"{"type":"final_transcript","language":"en","results":[{"alternatives":[{"transcript":"hi","confidence":0.5}]}]}"#,
        ] {
            let SttMessage::Final(speech) = read_stt(text).unwrap() else { panic!("{text}") };
            assert_eq!(
                (speech.text.as_str(), speech.confidence, speech.language.as_deref()),
                ("hi", Some(0.5), Some("en")),
                "{text}"
            );
        }
    }

    #[test]
    fn words_without_usable_times_are_left_out() {
        let text = r#"{"type":"final_transcript","transcript":"a b c","words":[{"word":"a","start":0.0,"end":0.5},{"word":"b","start":null},{"word":"c","start":2,"end":1}]}"#;
        let SttMessage::Final(speech) = read_stt(text).unwrap() else { panic!("{text}") };
        assert_eq!(speech.words.len(), 1);
    }

    #[test]
    fn an_error_in_a_binary_message_is_told_from_audio() {
        assert!(error_body(br#"{"error":"invalid speaker"}"#).is_some());
        assert!(error_body(br#"{"quiet":1}"#).is_none());
        assert!(error_body(b"{ not json }").is_none());
        assert!(error_body(&[0x7b, 0x00, 0x7d]).is_none());
    }
}
