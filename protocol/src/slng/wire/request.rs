//! What clients say: written by our clients, read by our servers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use voxline_audio::Encoding;

use super::field::{Field, decode_base64};
use crate::DecodeError;
use crate::json::decode;

/// A speech client's message. The field order is the vendor's own.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::slng) enum ToTts<'a> {
    Clear,
    Close,
    Flush,
    Init {
        voice: &'a str,
        config: TtsInitConfig<'a>,
    },
    Keepalive,
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "is_false")]
        flush: bool,
    },
}

#[derive(Debug, Serialize)]
pub(in crate::slng) struct TtsInitConfig<'a> {
    pub(in crate::slng) encoding: &'static str,
    pub(in crate::slng) sample_rate: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) speed: Option<f32>,
}

/// A recognition client's message; its audio travels binary.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::slng) enum ToStt<'a> {
    Close,
    Finalize,
    Init(SttInit<'a>),
    Keepalive,
}

#[derive(Debug, Serialize)]
pub(in crate::slng) struct SttInit<'a> {
    pub(in crate::slng) config: SttInitConfig<'a>,
}

#[derive(Debug, Serialize)]
pub(in crate::slng) struct SttInitConfig<'a> {
    pub(in crate::slng) sample_rate: u32,
    pub(in crate::slng) encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::slng) language: Option<&'a str>,
    pub(in crate::slng) enable_partials: bool,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The gateway's name for an encoding.
pub(in crate::slng) const fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::ALaw => "alaw",
        Encoding::MuLaw => "mulaw",
        // `Encoding` may grow; linear is what every model speaks.
        Encoding::Linear16Le | _ => "linear16",
    }
}

/// A client's message as a server sees it. Both directions share most of them.
#[derive(Debug)]
pub(in crate::slng) enum Request {
    /// STT audio in base64, already decoded.
    Audio(Vec<u8>),
    Clear,
    Close,
    Finalize,
    Flush,
    Init(Box<RequestInit>),
    Keepalive,
    Text {
        text: String,
        flush: bool,
    },
    Unhandled(String),
}

#[derive(Debug, Default, PartialEq)]
pub(in crate::slng) struct RequestInit {
    pub(in crate::slng) voice: Option<String>,
    pub(in crate::slng) language: Option<String>,
    pub(in crate::slng) encoding: Option<String>,
    pub(in crate::slng) sample_rate: Option<u32>,
    pub(in crate::slng) speed: Option<f32>,
    pub(in crate::slng) partials: Option<bool>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Field<'a>>,
    #[serde(borrow)]
    voice: Option<Field<'a>>,
    #[serde(borrow)]
    speaker: Option<Field<'a>>,
    #[serde(borrow)]
    language: Option<Field<'a>>,
    config: Option<Value>,
    #[serde(borrow)]
    text: Option<Field<'a>>,
    #[serde(borrow)]
    flush: Option<Field<'a>>,
    #[serde(borrow)]
    data: Option<Field<'a>>,
}

/// Reads what a client sent.
pub(in crate::slng) fn read_request(text: &str) -> Result<Request, DecodeError> {
    let frame: Frame<'_> = decode(text)?;
    let kind = frame.kind.as_ref().and_then(Field::as_str).unwrap_or_default().to_ascii_lowercase();
    Ok(match kind.as_str() {
        "audio" => {
            let data = frame.data.as_ref().and_then(Field::as_str);
            let data = data.ok_or_else(|| DecodeError::new("no base64 `data` in `audio`", text))?;
            Request::Audio(decode_base64(data).ok_or_else(|| DecodeError::new("bad base64", text))?)
        }
        "clear" | "cancel" => Request::Clear,
        "close" | "stop" => Request::Close,
        "finalize" => Request::Finalize,
        "flush" => Request::Flush,
        "init" => Request::Init(Box::new(read_init(&frame))),
        "keepalive" => Request::Keepalive,
        // `speak` is the earliest edition's name for `text`.
        "text" | "speak" => Request::Text {
            text: frame
                .text
                .as_ref()
                .and_then(Field::as_str)
                .ok_or_else(|| DecodeError::new("no `text` field", text))?
                .to_owned(),
            flush: frame.flush.as_ref().and_then(Field::as_bool).unwrap_or(false),
        },
        _ => Request::Unhandled(kind),
    })
}

fn read_init(frame: &Frame<'_>) -> RequestInit {
    let owned = |field: Option<&Field<'_>>| field.and_then(Field::as_str).map(str::to_owned);
    let config = |key: &str| frame.config.as_ref().and_then(|config| config.get(key));
    let text = |key: &str| config(key).and_then(Value::as_str).map(str::to_owned);
    RequestInit {
        voice: owned(frame.voice.as_ref()).or_else(|| owned(frame.speaker.as_ref())),
        language: text("language").or_else(|| owned(frame.language.as_ref())),
        encoding: text("encoding"),
        sample_rate: config("sample_rate").and_then(Value::as_u64).and_then(|rate| rate.try_into().ok()),
        speed: config("speed").and_then(Value::as_f64).map(|speed| speed as f32),
        partials: config("enable_partials")
            .or_else(|| config("enable_partial_transcripts"))
            .and_then(Value::as_bool),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_published_clients_inits_are_read() {
        let init = |text: &str| {
            let Request::Init(init) = read_request(text).unwrap() else { panic!("no `init`: {text}") };
            *init
        };
        let pipecat = init(
            r#"{"type": "init", "config": {"encoding": "linear16", "sample_rate": 24000, "language": "en"}, "voice": "aura-2-thalia-en"}"#,
        );
        let livekit = init(
            r#"{"type": "init", "model": "deepgram/aura:2", "voice": "aura-2-thalia-en", "language": "en", "config": {"language": "en", "encoding": "linear16", "sample_rate": 24000, "speed": 1.0}}"#,
        );
        assert_eq!(pipecat, RequestInit { speed: None, ..init_of(&livekit) });
        assert_eq!(livekit.voice.as_deref(), Some("aura-2-thalia-en"));
        assert_eq!(livekit.sample_rate, Some(24_000));
    }

    fn init_of(init: &RequestInit) -> RequestInit {
        RequestInit {
            voice: init.voice.clone(),
            language: init.language.clone(),
            encoding: init.encoding.clone(),
            sample_rate: init.sample_rate,
            speed: init.speed,
            partials: init.partials,
        }
    }

    #[test]
    fn escaped_surrogate_pairs_become_one_character() {
        let Request::Text { text, flush } =
            read_request(r#"{"type": "text", "text": "Gr\u00fc\u00dfe \ud83d\ude00", "flush": true}"#)
                .unwrap()
        else {
            panic!("not a text");
        };
        assert_eq!((text.as_str(), flush), ("Grüße 😀", true));
    }

    #[test]
    fn retired_spellings_are_understood() {
        for (text, expected) in [
            (r#"{"type":"cancel"}"#, "Clear"),
            (r#"{"type":"stop"}"#, "Close"),
            (r#"{"type":"KeepAlive"}"#, "Keepalive"),
            (r#"{"type":"audio","data":"AAEC"}"#, "Audio([0, 1, 2])"),
            (r#"{"type":"dance"}"#, "Unhandled(\"dance\")"),
            (r#"{}"#, "Unhandled(\"\")"),
        ] {
            assert_eq!(format!("{:?}", read_request(text).unwrap()), expected, "{text}");
        }
        assert!(read_request(r#"{"type":"text"}"#).is_err());
    }
}
