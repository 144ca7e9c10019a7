//! A recogniser for recordings whose samples say which block they belong to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use voxline_protocol::slng::{Heard, SttServer, SttServerCommand, SttServerEvent, Word};

use crate::pair::{Backend, Random};

/// Samples in one block: 100 ms at 8 kHz.
pub(crate) const BLOCK: u64 = 800;

/// A recording of `blocks` blocks. Each sample is its block's number, or 0 in a pause: after every
/// `run` blocks of speech come `pause` of silence.
pub(crate) fn recording(blocks: u64, run: u64, pause: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for block in 0..blocks {
        let value = if block % (run + pause) < run { block as i16 + 1 } else { 0 };
        out.extend((0..BLOCK).flat_map(|_| value.to_le_bytes()));
    }
    out
}

/// The numbers of the blocks that are speech.
pub(crate) fn spoken(blocks: u64, run: u64, pause: u64) -> Vec<u64> {
    (0..blocks).filter(|block| block % (run + pause) < run).map(|block| block + 1).collect()
}

/// Says a partial after each whole block, and a final after `endpoint` of silence or when asked.
/// A block it heard in part is said as `partly`.
#[derive(Debug)]
pub(crate) struct Recogniser {
    heard: u64,
    block: (i16, u64),
    silence: u64,
    words: Vec<Word>,
    endpoint: u64,
    delay: std::ops::Range<u64>,
    answers: VecDeque<(Instant, SttServerCommand)>,
}

impl Recogniser {
    pub(crate) fn new(delay: std::ops::Range<u64>) -> Self {
        Self {
            heard: 0,
            block: (0, 0),
            silence: 0,
            words: Vec::new(),
            endpoint: 3 * BLOCK,
            delay,
            answers: VecDeque::new(),
        }
    }

    fn hear(&mut self, now: Instant, audio: &[u8], random: &mut Random) {
        for pair in audio.chunks_exact(2) {
            let value = i16::from_le_bytes([pair[0], pair[1]]);
            self.heard += 1;
            if value != self.block.0 {
                self.end_block();
                self.block = (value, 0);
            }
            self.block.1 += 1;
            if value == 0 {
                self.silence += 1;
                if self.silence == self.endpoint && !self.words.is_empty() {
                    let heard = self.heard_so_far();
                    self.words.clear();
                    self.answer(now, SttServerCommand::Final(heard), random);
                }
            } else {
                self.silence = 0;
                if self.block.1 == BLOCK {
                    self.end_block();
                    let heard = self.heard_so_far().with_words(Vec::new());
                    self.answer(now, SttServerCommand::Partial(heard), random);
                }
            }
        }
    }

    fn end_block(&mut self) {
        let (value, length) = self.block;
        if value != 0 && length > 0 {
            let text = if length == BLOCK { value.to_string() } else { format!("partly{value}") };
            // The sample that ends a block late is already counted.
            let end = if length == BLOCK { self.heard } else { self.heard - 1 };
            let mut words = Heard::new(text, end - length.min(end)..end).words;
            self.words.append(&mut words);
            self.block = (value, 0);
        }
        self.block = (0, 0);
    }

    fn heard_so_far(&self) -> Heard {
        let text: Vec<_> = self.words.iter().map(|word| word.text.as_str()).collect();
        let start = self.words.first().map_or(self.heard, |word| word.start);
        Heard::new(text.join(" "), start..self.heard).with_words(self.words.clone())
    }

    fn answer(&mut self, now: Instant, command: SttServerCommand, random: &mut Random) {
        let at = now + random.millis(self.delay.clone());
        let at = self.answers.back().map_or(at, |(last, _)| at.max(*last));
        self.answers.push_back((at, command));
    }
}

impl Backend<SttServer> for Recogniser {
    fn reset(&mut self) {
        *self = Self::new(self.delay.clone());
    }

    fn on_event(&mut self, now: Instant, event: SttServerEvent, random: &mut Random) {
        match event {
            SttServerEvent::Audio(audio) => self.hear(now, &audio, random),
            SttServerEvent::Finalize | SttServerEvent::Close => {
                self.end_block();
                let heard = self.heard_so_far();
                self.words.clear();
                if event == SttServerEvent::Finalize || !heard.text.is_empty() {
                    self.answer(now, SttServerCommand::Final(heard), random);
                }
                if event == SttServerEvent::Close {
                    self.answer(now, SttServerCommand::Finish, random);
                }
            }
            _ => {}
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.answers.front().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Instant) -> Option<SttServerCommand> {
        self.next_at().filter(|at| *at <= now)?;
        self.answers.pop_front().map(|(_, command)| command)
    }
}

pub(crate) const fn block_time(blocks: u64) -> Duration {
    Duration::from_millis(blocks * 100)
}
