//! What each of the server's messages does: taken only as a strict Plivo would.

use bytes::Bytes;
use serde::Deserialize;

use super::super::quirk::PlivoQuirk;
use super::super::types::Digit;
use super::super::wire::{self, Loose, Text};
use super::PlivoCaller;
use super::event::CallerEvent;
use super::write::Writer;
use crate::error::words;
use crate::json::decode;
use crate::{Code, DecodeError};

impl PlivoCaller {
    pub(super) fn on_text(&mut self, text: &str) {
        if text.len() > MAX_MESSAGE {
            return self.reject("plivo/incorrect-payload", format!("a message of {} bytes", text.len()));
        }
        let order: Order<'_> = match decode(text) {
            Ok(order) => order,
            Err(error) => {
                self.events.push_back(CallerEvent::Garbled { error });
                return;
            }
        };
        if order.stream_id.text().is_some_and(|id| id != self.config.stream_id.as_str()) {
            return self.reject("plivo/incorrect-payload", "another stream's id".to_owned());
        }
        match &*order.event.0 {
            "playAudio" => self.on_play(order.media.as_ref()),
            "checkpoint" => self.on_checkpoint(&order, text),
            "clearAudio" => self.on_clear(),
            "sendDTMF" => match order.dtmf.to_text().as_deref().map(Digit::parse_all) {
                Some(Ok(digits)) if !digits.is_empty() => self.events.push_back(CallerEvent::Tones(digits)),
                Some(_) | None => self.garbled("no keys in a sendDTMF", text),
            },
            other => self.events.push_back(CallerEvent::Unhandled { kind: words(other) }),
        }
    }

    fn on_play(&mut self, audio: Option<&AudioBody<'_>>) {
        match self.check_audio(audio) {
            Ok(audio) => {
                if self.playback.queued() + self.config.format.duration_of(audio.len())
                    > self.config.playback_capacity
                {
                    let held = self.playback.queued();
                    return self.reject("plivo/buffer-overflow", format!("{held:?} queued already"));
                }
                self.playback.push(audio);
                if self.struck(PlivoQuirk::ErrorEvents, 200) {
                    self.send(Writer::error("buffer_overflow"));
                }
            }
            Err((code, detail)) => self.reject(code, detail),
        }
    }

    /// Takes audio only as a strict Plivo would.
    fn check_audio(&self, audio: Option<&AudioBody<'_>>) -> Result<Bytes, (&'static str, String)> {
        let wrong = |detail: &str| ("plivo/incorrect-payload", detail.to_owned());
        let format = self.config.format;
        if !self.config.bidirectional {
            return Err(wrong("audio for a one-way stream"));
        }
        let audio = audio.ok_or_else(|| wrong("no media"))?;
        let kind = &*audio.content_type.0;
        if kind.contains(';') {
            return Err(wrong("a rate inside the content type"));
        }
        let rate = audio.sample_rate.number().ok_or_else(|| wrong("no sample rate"))?;
        if wire::read_format(kind, Some(rate)) != Some(format) {
            return Err((
                "plivo/invalid-content-type",
                format!("{kind} at {rate} Hz in a stream of {format}"),
            ));
        }
        let bytes = wire::read_payload(&audio.payload.0).map_err(|_| wrong("bad base64"))?;
        if bytes.len().is_multiple_of(format.encoding.bytes_per_sample()) {
            Ok(bytes)
        } else {
            Err(wrong("half a sample"))
        }
    }

    fn on_checkpoint(&mut self, order: &Order<'_>, text: &str) {
        match order.name.to_text() {
            Some(name) => {
                self.playback.mark(name);
                self.hear();
            }
            None => self.garbled("no name in a checkpoint", text),
        }
    }

    fn on_clear(&mut self) {
        let (dropped, marks) = self.playback.clear();
        self.events.push_back(CallerEvent::Cleared { dropped, asked: true });
        if !self.has(PlivoQuirk::ClearUnanswered) {
            let text = self.writer.cleared(&self.config);
            self.send(text);
        }
        if self.has(PlivoQuirk::LateAcks) {
            for name in marks {
                let text = self.writer.played(&self.config, &name);
                self.send(text);
            }
        }
    }

    fn reject(&mut self, code: &'static str, detail: String) {
        self.events.push_back(CallerEvent::Rejected { code: Code::new(code), detail });
    }

    fn garbled(&mut self, what: &str, text: &str) {
        self.events.push_back(CallerEvent::Garbled { error: DecodeError::new(what, text) });
    }
}

/// Whatever the server may send.
#[derive(Deserialize)]
struct Order<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow, default, rename = "streamId")]
    stream_id: Loose<'a>,
    #[serde(borrow, default)]
    name: Loose<'a>,
    #[serde(borrow, default)]
    dtmf: Loose<'a>,
    #[serde(borrow, default)]
    media: Option<AudioBody<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AudioBody<'a> {
    #[serde(borrow)]
    content_type: Text<'a>,
    #[serde(borrow, default)]
    sample_rate: Loose<'a>,
    #[serde(borrow)]
    payload: Text<'a>,
}

/// Plivo's limit on a message.
const MAX_MESSAGE: usize = 64 * 1024;
