//! The messages as they stand on the wire, and the forgiving readers of both sides.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64_simd::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AvatarSession, InputRate, SessionSecret};

pub(super) const INIT: &str = "session.init";
pub(super) const ESTABLISHED: &str = "connection.established";
pub(super) const SPEAK: &str = "agent.speak";
pub(super) const SPEAK_CONFIRMED: &str = "agent.speak.confirmed";
pub(super) const INTERRUPT: &str = "agent.interrupt";
pub(super) const INTERRUPT_CONFIRMED: &str = "agent.interrupt.confirmed";
pub(super) const ERROR: &str = "error";

/// `session.init` in the shape of the session's revision.
pub(super) fn init(session: &AvatarSession) -> String {
    let session_id = &session.session_id;
    match &session.secret {
        SessionSecret::A { access_token, room, video } => {
            let room = RoomOut {
                platform: room.platform.as_str(),
                url: &room.url,
                token: room.token.expose(),
                display_name: &room.display_name,
            };
            let config = ConfigOut {
                session_id,
                access_token: access_token.expose(),
                room,
                video_width: video.width(),
                video_height: video.height(),
            };
            encode(&InitA { kind: INIT, config })
        }
        SessionSecret::B { session_token } => {
            encode(&InitB { kind: INIT, session_id, session_token: session_token.expose() })
        }
    }
}

#[derive(Serialize)]
struct InitA<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    config: ConfigOut<'a>,
}

#[derive(Serialize)]
struct ConfigOut<'a> {
    session_id: &'a str,
    access_token: &'a str,
    room: RoomOut<'a>,
    video_width: u32,
    video_height: u32,
}

#[derive(Serialize)]
struct RoomOut<'a> {
    platform: &'a str,
    url: &'a str,
    token: &'a str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct InitB<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    session_id: &'a str,
    session_token: &'a str,
}

/// Writes one of our own shapes.
pub(super) fn encode(value: &impl Serialize) -> String {
    let Ok(text) = serde_json::to_string(value) else {
        unreachable!("only strings, numbers and structs of them are written, which always works");
    };
    text
}

/// `agent.speak`, encoded straight into the message: the one allocation is the message itself.
pub(super) fn speak(audio: &[u8], rate: InputRate) -> String {
    const HEAD: &str = r#"{"type":"agent.speak","audio":""#;
    const TAIL: &str = r#"","sample_rate":48000}"#;
    let mut text = String::with_capacity(HEAD.len() + BASE64.encoded_length(audio.len()) + TAIL.len());
    text.push_str(HEAD);
    BASE64.encode_append(audio, &mut text);
    // Writing into a `String` cannot fail.
    let _ = write!(text, r#"","sample_rate":{}}}"#, rate.sample_rate().hz());
    text
}

pub(super) fn interrupt() -> String {
    format!(r#"{{"type":"{INTERRUPT}"}}"#)
}

/// Whatever the server sends: one shape for all, since every field may be missing.
#[derive(Debug, Deserialize)]
pub(super) struct FromServer<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(default)]
    session_id: Option<Value>,
    #[serde(default)]
    audio_samples: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    message: Option<Value>,
}

impl FromServer<'_> {
    pub(super) fn session_id(&self) -> Option<&str> {
        self.session_id.as_ref().and_then(Value::as_str)
    }

    /// The confirmed samples, as an integer, a fraction or a string of either.
    pub(super) fn audio_samples(&self) -> Option<u64> {
        let value = self.audio_samples.as_ref()?;
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        (number.is_finite() && (0.0..1e15).contains(&number)).then_some(number.round() as u64)
    }

    /// The error's text, wherever this server keeps it; empty when it is nowhere.
    pub(super) fn error_text(&self) -> &str {
        let own = self.error.as_ref().and_then(|value| {
            value.as_str().or_else(|| value.get("message").or_else(|| value.get("code"))?.as_str())
        });
        own.or_else(|| self.message.as_ref().and_then(Value::as_str)).unwrap_or_default()
    }

    /// Whether this is an error by its type, or by its shape where the type says nothing.
    pub(super) fn is_error(&self) -> bool {
        match self.kind.as_deref() {
            Some(kind) if is_known(kind) => false,
            Some(kind) => kind == ERROR || kind.ends_with(ERROR) || self.error.is_some(),
            None => self.error.is_some(),
        }
    }

    pub(super) fn is_interrupt_confirmation(&self) -> bool {
        self.kind.as_deref().is_some_and(|kind| kind.starts_with(INTERRUPT))
    }
}

fn is_known(kind: &str) -> bool {
    kind == ESTABLISHED || kind == SPEAK_CONFIRMED || kind.starts_with(INTERRUPT)
}

/// Whatever a client sends, before its type is known.
#[derive(Debug, Deserialize)]
pub(super) struct FromClient<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Option<Cow<'a, str>>,
}

/// `session.init` of either revision, nothing checked.
#[derive(Debug, Deserialize)]
pub(super) struct InitMessage {
    #[serde(default)]
    pub(super) config: Option<InitConfig>,
    #[serde(default)]
    pub(super) session_id: Option<Value>,
    #[serde(default)]
    pub(super) session_token: Option<Value>,
}

/// The inside of revision A's `session.init`.
#[derive(Debug, Deserialize)]
pub(super) struct InitConfig {
    #[serde(default)]
    pub(super) session_id: Option<Value>,
    #[serde(default)]
    pub(super) access_token: Option<Value>,
    #[serde(default)]
    pub(super) room: Option<Value>,
    #[serde(default)]
    pub(super) video_width: Option<Value>,
    #[serde(default)]
    pub(super) video_height: Option<Value>,
}

/// `agent.speak`, nothing checked.
#[derive(Debug, Deserialize)]
pub(super) struct SpeakMessage<'a> {
    #[serde(borrow, default)]
    pub(super) audio: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) sample_rate: Option<Value>,
}

/// A field the server writes only when it has a value.
#[derive(Debug, Default, Serialize)]
pub(super) struct ToClient<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio_samples: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'a str>,
}

impl ToClient<'_> {
    pub(super) fn to_text(&self) -> String {
        encode(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    #[test]
    fn speech_is_written_as_the_reference_sample_and_allocates_once() {
        let samples = [0i16, 1000, -1000, 32_767, -32_768, 1];
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let text = speak(&bytes, InputRate::Hz48000);
        assert_eq!(text, r#"{"type":"agent.speak","audio":"AADoAxj8/38AgAEA","sample_rate":48000}"#);
        assert_eq!(text.capacity(), text.len());
    }

    #[test]
    fn errors_are_found_in_every_shape() {
        for text in [
            r#"{"type":"error","error":"Session not found"}"#,
            r#"{"type":"error","message":"Session not found"}"#,
            r#"{"type":"error","error":{"code":"x","message":"Session not found"}}"#,
            r#"{"type":"session.error","error":"Session not found"}"#,
            r#"{"error":"Session not found"}"#,
            r#"{"type":"oops","error":"Session not found"}"#,
        ] {
            let message: FromServer<'_> = decode(text).unwrap();
            assert!(message.is_error(), "{text}");
            assert_eq!(message.error_text(), "Session not found", "{text}");
        }
        let message: FromServer<'_> = decode(r#"{"type":"agent.speak.confirmed","error":null}"#).unwrap();
        assert!(!message.is_error());
    }

    #[test]
    fn sample_counts_are_forgiven_their_form() {
        for (value, expected) in [
            ("80000", Some(80_000)),
            ("80000.4", Some(80_000)),
            ("\"80000\"", Some(80_000)),
            ("null", None),
            ("-1", None),
            ("\"many\"", None),
        ] {
            let text = format!(r#"{{"type":"agent.speak.confirmed","audio_samples":{value}}}"#);
            let message: FromServer<'_> = decode(&text).unwrap();
            assert_eq!(message.audio_samples(), expected, "{value}");
        }
    }
}
