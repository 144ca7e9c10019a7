//! Plivo's own messages, with their attested variations.

use std::fmt::Write as _;

use super::super::quirk::PlivoQuirk;
use super::super::types::{Digit, mime};
use super::super::wire::{event, quoted};
use super::PlivoCallerConfig;

/// Numbers and writes the messages of one link.
#[derive(Debug)]
pub(super) struct Writer {
    sequence: u64,
    chunk: u64,
    headers: String,
}

impl Writer {
    pub(super) fn new(config: &PlivoCallerConfig) -> Self {
        let first = if has(config, PlivoQuirk::SequenceFromZero) { 0 } else { 1 };
        Self { sequence: first, chunk: 1, headers: quoted(&headers(config)) }
    }

    pub(super) fn start(&mut self, config: &PlivoCallerConfig) -> String {
        let (call, stream) = (quoted(config.call_id.as_str()), quoted(config.stream_id.as_str()));
        let encoding = mime(config.format.encoding).unwrap_or_default();
        let rate = number(config, u64::from(config.format.rate.hz()));
        let format = format!(r#""mediaFormat":{{"encoding":"{encoding}","sampleRate":{rate}}}"#);
        if has(config, PlivoQuirk::BareStart) {
            return format!(
                r#"{{"event":"start","start":{{"callId":{call},"streamId":{stream},{format}}}}}"#
            );
        }
        let mut text = self.open(config, "start");
        let account = quoted(&config.account_id);
        let _ = write!(
            text,
            r#","start":{{"callId":{call},"streamId":{stream},"accountId":{account},"tracks":["inbound"],{format}}}"#
        );
        self.end(text)
    }

    pub(super) fn media(&mut self, config: &PlivoCallerConfig, millis: u64, audio: &[u8]) -> String {
        let mut text = self.open(config, "media");
        let mut payload = base64_simd::STANDARD.encode_to_string(audio);
        if has(config, PlivoQuirk::Unpadded) {
            payload.truncate(payload.trim_end_matches('=').len());
        }
        if has(config, PlivoQuirk::EscapedSlashes) {
            payload = payload.replace('/', r"\/");
        }
        let chunk = number(config, self.chunk);
        self.chunk += 1;
        let swapped = has(config, PlivoQuirk::NumbersSwapped);
        let timestamp = if swapped { millis.to_string() } else { format!("\"{millis}\"") };
        let stream = quoted(config.stream_id.as_str());
        let _ = write!(
            text,
            r#","streamId":{stream},"media":{{"track":"inbound","timestamp":{timestamp},"chunk":{chunk},"payload":"{payload}"}}"#
        );
        self.end(text)
    }

    /// Counts a message that is lost on its way.
    pub(super) const fn skip_media(&mut self) {
        self.sequence += 1;
        self.chunk += 1;
    }

    pub(super) fn dtmf(&mut self, config: &PlivoCallerConfig, millis: u64, digit: Digit) -> String {
        let mut text = self.open(config, "dtmf");
        let stream = quoted(config.stream_id.as_str());
        let _ = write!(
            text,
            r#","streamId":{stream},"dtmf":{{"track":"inbound","digit":"{digit}","timestamp":"{millis}"}}"#
        );
        self.end(text)
    }

    pub(super) fn played(&mut self, config: &PlivoCallerConfig, name: &str) -> String {
        let kind = if has(config, PlivoQuirk::PlayedAlias) { "played" } else { "playedStream" };
        let mut text = self.open(config, kind);
        let stream = quoted(config.stream_id.as_str());
        let _ = write!(text, r#","streamId":{stream},"name":{}}}"#, quoted(name));
        text
    }

    pub(super) fn cleared(&mut self, config: &PlivoCallerConfig) -> String {
        let mut text = self.open(config, "clearedAudio");
        let _ = write!(text, r#","streamId":{}}}"#, quoted(config.stream_id.as_str()));
        text
    }

    pub(super) fn bare(name: &str) -> String {
        event(name, &[])
    }

    pub(super) fn error(reason: &str) -> String {
        event("error", &[("reason", reason)])
    }

    fn open(&mut self, config: &PlivoCallerConfig, kind: &str) -> String {
        let mut text = String::with_capacity(512);
        let lower = has(config, PlivoQuirk::LowerCaseEvents);
        let kind = if lower { kind.to_ascii_lowercase() } else { kind.to_owned() };
        let _ = write!(text, r#"{{"event":"{kind}""#);
        if !has(config, PlivoQuirk::NoSequence) {
            let _ = write!(text, r#","sequenceNumber":{}"#, number(config, self.sequence));
        }
        self.sequence += 1;
        text
    }

    fn end(&self, mut text: String) -> String {
        let _ = write!(text, r#","extra_headers":{}}}"#, self.headers);
        text
    }
}

pub(super) fn has(config: &PlivoCallerConfig, quirk: PlivoQuirk) -> bool {
    config.quirks.contains(&quirk)
}

fn number(config: &PlivoCallerConfig, value: u64) -> String {
    if has(config, PlivoQuirk::NumbersSwapped) { format!("\"{value}\"") } else { value.to_string() }
}

fn headers(config: &PlivoCallerConfig) -> String {
    let pairs = &config.extra_headers;
    if pairs.is_empty() {
        return "{}".to_owned();
    }
    let joined = |between: &str| {
        pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(between)
    };
    if has(config, PlivoQuirk::HeadersSemicolons) {
        joined(";")
    } else if has(config, PlivoQuirk::HeadersCommas) {
        joined(",")
    } else if has(config, PlivoQuirk::HeadersJson) {
        serde_json::Value::from_iter(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .to_string()
    } else {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("X-PH-{key}: {value}")).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}
