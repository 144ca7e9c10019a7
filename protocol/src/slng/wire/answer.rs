//! What the gateway says, in every dialect its routes have been seen to speak.

use std::time::Duration;

use super::frame::Frame;
use crate::json::decode;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slng::codes;

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
