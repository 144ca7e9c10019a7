//! What was heard, put together, and what is wrong with it.

use std::ops::RangeInclusive;

use super::block::Block;
use super::decoder::VoiceEvent;

/// Folds the events of one decoder into text and faults.
///
/// ```
/// use voxline::simulate::voice::{Decoder, Encoder, Tracker};
/// use voxline_audio::SampleRate;
///
/// let sound = Encoder::new(SampleRate::Hz8000).encode("All of this was said, but not all was heard.");
/// let mut decoder = Decoder::new(SampleRate::Hz8000);
/// decoder.push(&sound[..8_000]);
/// decoder.finish();
/// let mut tracker = Tracker::new();
/// while let Some(event) = decoder.poll() {
///     tracker.handle_event(&event);
/// }
/// assert_eq!(tracker.text(), "All of this was ");
/// assert!(!tracker.utterances()[0].is_complete());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    from_start: bool,
    speakers: Vec<Speaker>,
    utterances: Vec<Utterance>,
    faults: Vec<VoiceFault>,
}

impl Tracker {
    /// Takes the first block it hears of a speaker as the beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows that every speaker begins with block 0, and so notices when the first blocks are missing.
    #[must_use]
    pub fn from_start() -> Self {
        Self { from_start: true, ..Self::default() }
    }

    /// Takes note of what a decoder heard.
    pub fn handle_event(&mut self, event: &VoiceEvent) {
        match *event {
            VoiceEvent::Block { ref block, start, end } => self.on_block(block, start, end),
            VoiceEvent::Damaged { block, start, end } => {
                self.faults.push(VoiceFault::Damaged { block, start, end });
            }
        }
    }

    /// All text heard, in the order it was heard; a doubled block counts once.
    #[must_use]
    pub fn text(&self) -> String {
        self.utterances.iter().map(Utterance::text).collect()
    }

    /// The utterances, in the order they were begun.
    #[must_use]
    pub fn utterances(&self) -> &[Utterance] {
        &self.utterances
    }

    /// Everything that was wrong, in the order it was noticed. Empty means: all of it, once, in order.
    #[must_use]
    pub fn faults(&self) -> &[VoiceFault] {
        &self.faults
    }

    fn on_block(&mut self, block: &Block, start: u64, end: u64) {
        let index = self.speaker_index(block);
        let speaker = &mut self.speakers[index];
        let ahead = block.number.wrapping_sub(speaker.next).cast_signed();
        if ahead < 0 {
            self.faults.push(if speaker.lost.iter().any(|lost| lost.contains(&block.number)) {
                VoiceFault::Late { speaker: block.speaker, number: block.number }
            } else {
                VoiceFault::Doubled { speaker: block.speaker, number: block.number }
            });
            return;
        }
        if ahead > 0 {
            let numbers = speaker.next..=block.number.wrapping_sub(1);
            let cut_short = block.first && speaker.within;
            speaker.lost.push(numbers.clone());
            self.faults.push(if cut_short {
                VoiceFault::CutShort { speaker: block.speaker, numbers }
            } else {
                VoiceFault::Missing { speaker: block.speaker, numbers }
            });
        }
        speaker.next = block.number.wrapping_add(1);
        speaker.within = !block.last;
        let goes_on = !block.first
            && self.utterances.last().is_some_and(|last| last.speaker == block.speaker && !last.complete);
        if !goes_on {
            self.utterances.push(Utterance::new(block, start));
        }
        if let Some(utterance) = self.utterances.last_mut() {
            utterance.add(block, end);
        }
    }

    fn speaker_index(&mut self, block: &Block) -> usize {
        if let Some(index) = self.speakers.iter().position(|speaker| speaker.id == block.speaker) {
            return index;
        }
        let next = if self.from_start { 0 } else { block.number };
        self.speakers.push(Speaker { id: block.speaker, next, within: false, lost: Vec::new() });
        self.speakers.len() - 1
    }
}

/// One run of blocks, from a first to a last, as far as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utterance {
    speaker: u8,
    text: String,
    first_heard: bool,
    complete: bool,
    numbers: RangeInclusive<u16>,
    start: u64,
    end: u64,
}

impl Utterance {
    fn new(block: &Block, start: u64) -> Self {
        Self {
            speaker: block.speaker,
            text: String::new(),
            first_heard: block.first,
            complete: false,
            numbers: block.number..=block.number,
            start,
            end: start,
        }
    }

    fn add(&mut self, block: &Block, end: u64) {
        self.text.push_str(&block.text);
        self.complete = block.last;
        self.numbers = *self.numbers.start()..=block.number;
        self.end = end;
    }

    /// Who spoke.
    #[must_use]
    pub const fn speaker(&self) -> u8 {
        self.speaker
    }

    /// What was heard of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Numbers of the first and the last block heard.
    #[must_use]
    pub const fn numbers(&self) -> &RangeInclusive<u16> {
        &self.numbers
    }

    /// Whether its first and its last block were heard; a hole between them is a [`VoiceFault::Missing`].
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.first_heard && self.complete
    }

    /// Where in the decoder's input it began, in samples.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Where in the decoder's input the last whole block ended, in samples.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }
}

/// Something a listener should not have heard, or should have.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoiceFault {
    /// An utterance stopped before its last block, and the speaker went on with another: a barge-in, or a loss of
    /// its end. Numbers run over everything unheard between the two.
    CutShort {
        /// Who spoke.
        speaker: u8,
        /// The blocks not heard.
        numbers: RangeInclusive<u16>,
    },
    /// A block began and did not end well. Where its number never comes whole, it is reported as missing too.
    Damaged {
        /// Speaker and number, where the header was whole.
        block: Option<(u8, u16)>,
        /// Where it began, in samples.
        start: u64,
        /// Where it was lost, in samples.
        end: u64,
    },
    /// A block was heard twice.
    Doubled {
        /// Who spoke.
        speaker: u8,
        /// Which block.
        number: u16,
    },
    /// A block that was missing came after one that follows it. Its text is in no utterance.
    Late {
        /// Who spoke.
        speaker: u8,
        /// Which block.
        number: u16,
    },
    /// Blocks that were never heard, though later ones were.
    Missing {
        /// Who spoke.
        speaker: u8,
        /// Which blocks; runs over the wrap where the end is below the start.
        numbers: RangeInclusive<u16>,
    },
}

/// How far one speaker has come.
#[derive(Debug, Clone)]
struct Speaker {
    id: u8,
    next: u16,
    /// Its last block was not the last of an utterance.
    within: bool,
    lost: Vec<RangeInclusive<u16>>,
}
