//! Text to sound.

use voxline_audio::SampleRate;

use super::block::{Block, blocks_of};
use super::tones::{preamble, sound_symbol, tones_of};

/// A speaker of tonetext. Its block numbers run over all it ever says.
///
/// Say all at once with [`encode`](Self::encode), or [`plan`](Self::plan) an utterance and [`voice`](Self::voice) it
/// block by block, as an engine that streams its audio does.
///
/// ```
/// use voxline::simulate::voice::Encoder;
/// use voxline_audio::SampleRate;
///
/// let mut speaker = Encoder::new(SampleRate::Hz24000).with_speaker(3);
/// let plan = speaker.plan("One moment, please.");
/// assert_eq!(plan.len(), 3);
/// let streamed: Vec<i16> = plan.iter().flat_map(|block| speaker.voice(block)).collect();
/// assert_eq!(streamed.len(), (24_000.0 * plan.iter().map(|block| block.duration().as_secs_f64()).sum::<f64>()) as usize);
/// ```
#[derive(Debug, Clone)]
pub struct Encoder {
    rate: SampleRate,
    speaker: u8,
    next: u16,
}

impl Encoder {
    /// Speaker 0, whose first block is number 0.
    #[must_use]
    pub const fn new(rate: SampleRate) -> Self {
        Self { rate, speaker: 0, next: 0 }
    }

    /// Another speaker, or another life of one: what it says is never taken for a repeat of what the first said.
    #[must_use]
    pub const fn with_speaker(self, speaker: u8) -> Self {
        Self { speaker, ..self }
    }

    /// Goes on counting from `number`, for a speaker that was put away and taken up again.
    #[must_use]
    pub const fn with_first_number(self, number: u16) -> Self {
        Self { next: number, ..self }
    }

    /// The number the next block will have.
    #[must_use]
    pub const fn next_number(&self) -> u16 {
        self.next
    }

    /// Speaks `text` as one utterance. An empty text is no utterance and no sound.
    pub fn encode(&mut self, text: &str) -> Vec<i16> {
        self.plan(text).iter().flat_map(|block| self.voice(block)).collect()
    }

    /// Divides `text` into the numbered blocks of one utterance, without a sound yet.
    pub fn plan(&mut self, text: &str) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for part in blocks_of(text) {
            let first = blocks.is_empty();
            blocks.push(Block {
                speaker: self.speaker,
                number: self.next,
                text: part.to_owned(),
                first,
                last: false,
            });
            self.next = self.next.wrapping_add(1);
        }
        if let Some(block) = blocks.last_mut() {
            block.last = true;
        }
        blocks
    }

    /// The sound of one block of a plan.
    #[must_use]
    pub fn voice(&self, block: &Block) -> Vec<i16> {
        let mut sound = Vec::with_capacity(self.rate.samples_in(block.duration()) as usize);
        for tones in preamble() {
            sound_symbol(self.rate, tones, &mut sound);
        }
        for byte in block.to_bytes() {
            sound_symbol(self.rate, &tones_of(byte), &mut sound);
        }
        sound
    }
}
