//! A synthesiser whose audio says which word it is and how far into it.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::slng::{TtsServer, TtsServerCommand, TtsServerEvent};

use crate::pair::{Backend, Random};

/// Units in the audio of one word.
pub(crate) const UNITS: u32 = 40;
pub(crate) const UNIT_BYTES: usize = 8;

/// Speaks words of digits. A word's audio is [`UNITS`] units, each the word's number and its own place.
#[derive(Debug)]
pub(crate) struct Synthesiser {
    /// Milliseconds until the first audio of a text.
    latency: Range<u64>,
    /// Whether it begins before the flush.
    eager: bool,
    text: String,
    work: VecDeque<(Instant, u64, TtsServerCommand)>,
}

impl Synthesiser {
    pub(crate) fn new(latency: Range<u64>, eager: bool) -> Self {
        Self { latency, eager, text: String::new(), work: VecDeque::new() }
    }

    fn later(&mut self, at: Instant, turn: u64, command: TtsServerCommand) {
        let at = self.work.back().map_or(at, |(last, ..)| at.max(*last));
        self.work.push_back((at, turn, command));
    }

    fn speak(&mut self, now: Instant, turn: u64, random: &mut Random) {
        let text = std::mem::take(&mut self.text);
        let mut at = now + random.millis(self.latency.clone());
        for word in text.split_whitespace() {
            let number: u32 = word.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            let audio = (0..UNITS).flat_map(|unit| [number.to_le_bytes(), unit.to_le_bytes()].concat());
            let audio = Bytes::from(audio.collect::<Vec<u8>>());
            at += random.millis(0..8);
            self.later(at, turn, TtsServerCommand::Audio { turn, audio });
        }
    }
}

/// The units in a run of audio.
pub(crate) fn units(audio: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    audio.chunks_exact(UNIT_BYTES).map(move |unit| (number(&unit[..4]), number(&unit[4..])))
}

impl Backend<TtsServer> for Synthesiser {
    fn reset(&mut self) {
        self.text.clear();
        self.work.clear();
    }

    fn on_event(&mut self, now: Instant, event: TtsServerEvent, random: &mut Random) {
        match event {
            TtsServerEvent::Synthesise { turn, text, flush } => {
                self.text.push_str(&text);
                if self.eager || flush {
                    self.speak(now, turn, random);
                }
                if flush {
                    self.later(now + Duration::from_millis(5), turn, TtsServerCommand::End { turn });
                }
            }
            TtsServerEvent::Cleared { before } => {
                self.text.clear();
                self.work.retain(|(_, turn, _)| *turn >= before);
            }
            _ => {}
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.work.front().map(|(at, ..)| *at)
    }

    fn take(&mut self, now: Instant) -> Option<TtsServerCommand> {
        self.next_at().filter(|at| *at <= now)?;
        self.work.pop_front().map(|(.., command)| command)
    }
}
