//! Messages as they are on the wire: read from borrowed text, forgiving; written by template, strict.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use voxline_audio::{AudioFormat, Encoding, SampleRate};

use super::headers;
use super::types::{Track, mime};
use crate::DecodeError;
use crate::json::decode;

/// Whatever may arrive, in one pass. Only `event` is required; numbers may be strings and the reverse.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) event: Text<'a>,
    #[serde(borrow, default, rename = "sequenceNumber")]
    pub(super) sequence: Loose<'a>,
    #[serde(borrow, default, rename = "streamId")]
    pub(super) stream_id: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) name: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) reason: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) media: Option<MediaBody<'a>>,
    #[serde(borrow, default)]
    pub(super) dtmf: Option<DtmfBody<'a>>,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, DecodeError> {
        decode(text)
    }
}

#[derive(Deserialize)]
pub(super) struct MediaBody<'a> {
    #[serde(borrow, default)]
    pub(super) track: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) timestamp: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) chunk: Loose<'a>,
    #[serde(borrow)]
    pub(super) payload: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct DtmfBody<'a> {
    #[serde(borrow)]
    pub(super) digit: Loose<'a>,
}

/// A `start` message's content, owned: it comes once a link.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) call_id: String,
    pub(super) stream_id: String,
    pub(super) encoding: String,
    pub(super) sample_rate: Option<u64>,
    pub(super) tracks: Vec<Track>,
    pub(super) headers: Vec<(String, String)>,
}

impl Start {
    pub(super) fn describe_format(&self) -> String {
        match self.sample_rate {
            Some(rate) => format!("{} at {rate} Hz", self.encoding),
            None => format!("{} without a rate", self.encoding),
        }
    }
}

/// Reads a `start` message.
pub(super) fn read_start(text: &str) -> Result<Start, DecodeError> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        event: Text<'a>,
        #[serde(borrow)]
        start: Body<'a>,
        #[serde(borrow, default)]
        extra_headers: Loose<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        #[serde(borrow)]
        call_id: Text<'a>,
        #[serde(borrow)]
        stream_id: Text<'a>,
        #[serde(borrow, default)]
        tracks: Vec<Loose<'a>>,
        #[serde(borrow)]
        media_format: Format<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Format<'a> {
        #[serde(borrow)]
        encoding: Text<'a>,
        #[serde(borrow, default)]
        sample_rate: Loose<'a>,
    }

    let outer: Outer<'_> = decode(text)?;
    if !outer.event.0.eq_ignore_ascii_case("start") {
        return Err(DecodeError::new(format_args!("event is `{}`, not `start`", outer.event.0), text));
    }
    let headers = match &outer.extra_headers {
        Loose::Map(pairs) => pairs.clone(),
        Loose::Text(text) => headers::parse(text),
        Loose::Absent | Loose::Number(_) => Vec::new(),
    };
    Ok(Start {
        call_id: outer.start.call_id.0.into_owned(),
        stream_id: outer.start.stream_id.0.into_owned(),
        encoding: outer.start.media_format.encoding.0.into_owned(),
        sample_rate: outer.start.media_format.sample_rate.number(),
        tracks: outer.start.tracks.iter().filter_map(|track| Track::parse(track.text()?)).collect(),
        headers,
    })
}

/// The format that `encoding` and a rate name; a rate inside the encoding counts where the field is missing.
pub(super) fn read_format(encoding: &str, sample_rate: Option<u64>) -> Option<AudioFormat> {
    let name = encoding.to_ascii_lowercase();
    let inline = || name.split_once("rate=").and_then(|(_, rate)| rate.trim().parse().ok());
    let rate = SampleRate::try_from(u32::try_from(sample_rate.or_else(inline)?).ok()?).ok()?;
    let format = if name.contains("mulaw") {
        AudioFormat::new(Encoding::MuLaw, rate)
    } else if name.contains("l16") {
        AudioFormat::linear16(rate)
    } else {
        return None;
    };
    super::FORMATS.contains(&format).then_some(format)
}

/// Base64 as Plivo should send it, or without padding.
pub(super) fn read_payload(text: &str) -> Result<Bytes, DecodeError> {
    let bytes = base64_simd::STANDARD
        .decode_to_vec(text)
        .or_else(|_| base64_simd::forgiving_decode_to_vec(text.as_bytes()))
        .map_err(|_| DecodeError::new("payload is not base64", text))?;
    Ok(Bytes::from(bytes))
}

/// Builds `playAudio` in one allocation.
pub(super) fn play_audio(format: AudioFormat, audio: &[u8]) -> String {
    const HEAD: &str = r#"{"event":"playAudio","media":{"contentType":""#;
    const RATE: &str = r#"","sampleRate":"#;
    const PAYLOAD: &str = r#","payload":""#;
    const TAIL: &str = r#""}}"#;
    let mime = mime(format.encoding).unwrap_or_default();
    let rate = match format.rate.hz() {
        16_000 => "16000",
        24_000 => "24000",
        _ => "8000",
    };
    let base64 = &base64_simd::STANDARD;
    let length = HEAD.len() + mime.len() + RATE.len() + rate.len() + PAYLOAD.len() + TAIL.len();
    let mut text = String::with_capacity(length + base64.encoded_length(audio.len()));
    for part in [HEAD, mime, RATE, rate, PAYLOAD] {
        text.push_str(part);
    }
    base64.encode_append(audio, &mut text);
    text.push_str(TAIL);
    text
}

/// Builds `checkpoint`, `clearAudio` or any other event that is only strings: `fields` follow `event`.
pub(super) fn event(name: &str, fields: &[(&str, &str)]) -> String {
    let mut text = format!(r#"{{"event":"{name}""#);
    for (key, value) in fields {
        text.push_str(&format!(r#","{key}":{}"#, quoted(value)));
    }
    text.push('}');
    text
}

/// `value` as a JSON string.
pub(super) fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// A string, borrowed where it holds no escape.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// A value the stream can do without: a number that may be a string, a string that may be a number,
/// or something else, which counts as absent.
#[derive(Debug, Default)]
pub(super) enum Loose<'a> {
    #[default]
    Absent,
    Map(Vec<(String, String)>),
    Number(u64),
    Text(Cow<'a, str>),
}

impl Loose<'_> {
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Absent | Self::Map(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Map(_) | Self::Number(_) => None,
        }
    }

    /// The text, or the number as text.
    pub(super) fn to_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone().into_owned()),
            Self::Number(number) => Some(number.to_string()),
            Self::Absent | Self::Map(_) => None,
        }
    }

    pub(super) fn millis(&self) -> Option<Duration> {
        self.number().map(Duration::from_millis)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Loose<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Loose::Number(number))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Loose::Absent)
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                let whole = number >= 0.0 && number.fract() == 0.0 && number < 9e15;
                Ok(if whole { Loose::Number(number as u64) } else { Loose::Absent })
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Loose::Absent)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Loose::Absent)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::Absent)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, Loose<'de>>()? {
                    pairs.extend(value.to_text().map(|value| (key.0.into_owned(), value)));
                }
                Ok(Loose::Map(pairs))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
