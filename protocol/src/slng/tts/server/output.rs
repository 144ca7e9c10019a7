//! What leaves a gateway's speech link: audio in messages, each turn's end, in the words the quirks ask for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use voxline_audio::{AudioFormat, Encoding};

use super::TtsServer;
use crate::slng::SlngQuirk;
use crate::slng::gate::State;
use crate::slng::wire::{Reply, encode};
use crate::{CloseFrame, Message};

/// One utterance: text until its flush, audio until its end.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: u64,
    pub(super) has_text: bool,
    pub(super) flushed: bool,
    pub(super) ended: bool,
    begun: bool,
    pub(super) audio: BytesMut,
    sent: u64,
}

impl TtsServer {
    /// The next audio message or end marker of the oldest turn.
    pub(super) fn next_output(&mut self) -> Option<Message> {
        if !matches!(self.gate.state, State::Preparing | State::Open) {
            return None;
        }
        let mut chunk = self.format.bytes_in(self.chunk.clamp(SHORTEST_CHUNK, LONGEST_CHUNK));
        if self.gate.has(SlngQuirk::OddAudio) {
            chunk |= 1;
        }
        let turn = self.turns.front_mut()?;
        let complete = turn.flushed && turn.ended;
        if turn.audio.len() >= chunk || (complete && !turn.audio.is_empty()) {
            let length = turn.audio.len().min(chunk);
            let mut audio = turn.audio.split_to(length).freeze();
            let header = !turn.begun;
            turn.begun = true;
            turn.sent += audio.len() as u64;
            self.last_audio = audio.clone();
            if header && self.gate.has(SlngQuirk::RiffHeader) {
                audio = with_header(self.format, self.format.rate.hz(), &audio);
            } else if header && self.gate.has(SlngQuirk::RiffLies) {
                audio = with_header(self.format, LYING_RATE, &audio);
            }
            return Some(self.audio_message(audio));
        }
        if !complete {
            return None;
        }
        let turn = self.turns.pop_front()?;
        self.end_of(&turn);
        self.gate.outbox.pop_front()
    }

    /// The `LateAudio` quirk: what was last sent, again.
    pub(super) fn send_late_audio(&mut self) {
        let audio = std::mem::take(&mut self.last_audio);
        if !audio.is_empty() {
            let message = self.audio_message(audio);
            self.gate.outbox.push_back(message);
        }
    }

    fn audio_message(&mut self, audio: Bytes) -> Message {
        if !self.gate.has(SlngQuirk::JsonAudio) {
            return Message::Binary(audio);
        }
        self.sequence += 1;
        let data = base64_simd::STANDARD.encode_to_string(&audio);
        Message::Text(encode(&Reply::AudioChunk { data: &data, sequence: self.sequence }))
    }

    /// The end of a turn, in the words the quirks ask for.
    fn end_of(&mut self, turn: &Turn) {
        let bytes_per_second = self.format.bytes_per_second() as f64;
        let audio_end = encode(&Reply::AudioEnd { duration: turn.sent as f64 / bytes_per_second });
        let flushed = encode(&Reply::Flushed);
        let texts = match () {
            () if self.gate.has(SlngQuirk::NoTerminal) || self.gate.has(SlngQuirk::CloseForTerminal) => {
                vec![]
            }
            () if self.gate.has(SlngQuirk::FlushedOnly) => vec![flushed],
            () if self.gate.has(SlngQuirk::BothTerminals) => vec![audio_end, flushed],
            () => vec![audio_end],
        };
        self.gate.outbox.extend(texts.into_iter().map(Message::Text));
        if self.gate.has(SlngQuirk::CloseAfterTerminal) || self.gate.has(SlngQuirk::CloseForTerminal) {
            self.gate.close(CloseFrame::normal());
        }
    }
}

impl Turn {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            has_text: false,
            flushed: false,
            ended: false,
            begun: false,
            audio: BytesMut::new(),
            sent: 0,
        }
    }
}

/// A RIFF header with the placeholder lengths that streams write, then `audio`.
fn with_header(format: AudioFormat, hz: u32, audio: &[u8]) -> Bytes {
    let (tag, bits): (u16, u16) = match format.encoding {
        Encoding::ALaw => (6, 8),
        Encoding::MuLaw => (7, 8),
        Encoding::Linear16Le | _ => (1, 16),
    };
    let mut out = Vec::with_capacity(44 + audio.len());
    out.extend(b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0");
    out.extend(tag.to_le_bytes());
    out.extend(1u16.to_le_bytes());
    out.extend(hz.to_le_bytes());
    out.extend((hz * u32::from(bits / 8)).to_le_bytes());
    out.extend((bits / 8).to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data\xff\xff\xff\x7f");
    out.extend(audio);
    out.into()
}

const SHORTEST_CHUNK: Duration = Duration::from_millis(20);
const LONGEST_CHUNK: Duration = Duration::from_millis(100);
const LYING_RATE: u32 = 22_050;
