//! Sound to text.

use std::collections::VecDeque;

use voxline_audio::SampleRate;

use super::block::{Block, HEADER_BYTES, Header};
use super::sync::{Preamble, Sync};
use super::tones::{ByteReader, PREAMBLE_SYMBOLS, symbol_samples};

/// Hears tonetext in a stream of samples, from whatever point it is given the stream.
///
/// Give it samples with [`push`](Self::push), in pieces of any length, and take what it heard with
/// [`poll`](Self::poll). A block is reported when its last symbol has arrived. Cost: some 40 multiplications
/// a sample, far below one percent of real time.
///
/// ```
/// use voxline::simulate::voice::{Decoder, Encoder, VoiceEvent};
/// use voxline_audio::SampleRate;
///
/// let sound = Encoder::new(SampleRate::Hz8000).encode("Yes.");
/// let mut decoder = Decoder::new(SampleRate::Hz8000);
/// decoder.push(&[0; 500]);
/// decoder.push(&sound);
/// let Some(VoiceEvent::Block { block, .. }) = decoder.poll() else { panic!("nothing heard") };
/// assert_eq!((block.text.as_str(), block.last), ("Yes.", true));
/// ```
#[derive(Debug, Clone)]
pub struct Decoder {
    symbol: usize,
    reader: ByteReader,
    sync: Sync,
    /// What may still be needed; `taken` is the position of its first sample.
    samples: Vec<f32>,
    taken: u64,
    /// Up to where `sync` has searched.
    searched: u64,
    reading: Option<Reading>,
    events: VecDeque<VoiceEvent>,
}

impl Decoder {
    /// For samples at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            symbol: symbol_samples(rate),
            reader: ByteReader::new(rate),
            sync: Sync::new(rate),
            samples: Vec::new(),
            taken: 0,
            searched: 0,
            reading: None,
            events: VecDeque::new(),
        }
    }

    /// The next samples of the stream, any number of them.
    pub fn push(&mut self, samples: &[i16]) {
        // Long runs are taken in parts, so that a ten-minute recording needs no ten-minute buffer.
        for part in samples.chunks(MOST_AT_ONCE) {
            self.samples.extend(part.iter().map(|&sample| f32::from(sample) / 32_768.0));
            self.search();
            self.forget();
        }
    }

    /// The stream ends here: a block that is not complete is reported as damaged.
    pub fn finish(&mut self) {
        self.give_up(self.position());
    }

    /// What was heard next.
    pub fn poll(&mut self) -> Option<VoiceEvent> {
        self.events.pop_front()
    }

    /// Samples given so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.taken + self.samples.len() as u64
    }

    /// Whether a block has begun and is not complete yet.
    #[must_use]
    pub const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    fn search(&mut self) {
        let hop = self.sync.hop();
        while self.searched + hop as u64 <= self.position() {
            let at = (self.searched - self.taken) as usize;
            let found = self.sync.push(&self.samples[at..at + hop]);
            self.searched += hop as u64;
            if let Some(preamble) = found {
                let reading = Reading::new(preamble, self.symbol);
                self.give_up(reading.start);
                self.reading = Some(reading);
            }
            self.read(self.searched);
        }
        // The end of a stream need not be the end of a hop.
        self.read(self.position());
    }

    /// Reads the symbols whose middle lies before `limit`.
    fn read(&mut self, limit: u64) {
        let window = self.reader.window();
        while let Some(reading) = &mut self.reading {
            let from = reading.next_symbol(self.symbol);
            let middle = from + (self.symbol - window) as u64 / 2;
            if middle + window as u64 > limit {
                return;
            }
            let at = (middle - self.taken) as usize;
            let (byte, power) = self.reader.read(&self.samples[at..at + window]);
            if power < reading.level * CUT {
                self.give_up(from);
                return;
            }
            reading.bytes.push(byte);
            let end = from + self.symbol as u64;
            if reading.is_hopeless() {
                self.give_up(end);
            } else if reading.is_complete() {
                self.conclude(end);
            }
        }
    }

    fn conclude(&mut self, end: u64) {
        let Some(reading) = self.reading.take() else { return };
        self.events.push_back(match Block::from_bytes(&reading.bytes) {
            Some(block) => VoiceEvent::Block { block, start: reading.start, end },
            None => reading.damaged(end),
        });
    }

    fn give_up(&mut self, end: u64) {
        if let Some(reading) = self.reading.take() {
            let event = reading.damaged(end.max(reading.start));
            self.events.push_back(event);
        }
    }

    /// Drops the samples no one will ask for again.
    fn forget(&mut self) {
        // A preamble is confirmed within half a symbol of its end, and the block is read from that end on.
        let needed = match &self.reading {
            Some(reading) => reading.next_symbol(self.symbol),
            None => self.searched.saturating_sub(self.symbol as u64),
        };
        let done = needed.min(self.searched).saturating_sub(self.taken) as usize;
        self.samples.drain(..done);
        self.taken += done as u64;
    }
}

/// What a [`Decoder`] heard. Positions count samples given to it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoiceEvent {
    /// A whole block, its checksum right.
    Block {
        /// What it said.
        block: Block,
        /// Where its preamble began, to within a millisecond.
        start: u64,
        /// Where its last symbol ended.
        end: u64,
    },
    /// A block that began and was cut, overwritten, or did not match its checksum.
    ///
    /// One that is cut within its 60 ms preamble leaves no event; its number is missing then.
    Damaged {
        /// Who spoke and the block's number, where the header was whole.
        block: Option<(u8, u16)>,
        /// Where its preamble began.
        start: u64,
        /// Up to where it could be followed.
        end: u64,
    },
}

/// A block being read.
#[derive(Debug, Clone)]
struct Reading {
    start: u64,
    text_start: u64,
    level: f32,
    bytes: Vec<u8>,
}

impl Reading {
    const fn new(preamble: Preamble, symbol: usize) -> Self {
        let start = preamble.end.saturating_sub((PREAMBLE_SYMBOLS * symbol) as u64);
        Self { start, text_start: preamble.end, level: preamble.level, bytes: Vec::new() }
    }

    /// Where the symbol of the next byte begins.
    const fn next_symbol(&self, symbol: usize) -> u64 {
        self.text_start + (self.bytes.len() * symbol) as u64
    }

    fn header(&self) -> Option<Header> {
        self.bytes.first_chunk::<HEADER_BYTES>().and_then(Header::from_bytes)
    }

    /// Without a header there is no length to read to.
    fn is_hopeless(&self) -> bool {
        self.bytes.len() == HEADER_BYTES && self.header().is_none()
    }

    fn is_complete(&self) -> bool {
        self.header().is_some_and(|header| self.bytes.len() == header.block_bytes())
    }

    fn damaged(&self, end: u64) -> VoiceEvent {
        let block = self.header().map(|header| (header.speaker, header.number));
        VoiceEvent::Damaged { block, start: self.start, end }
    }
}

/// A symbol whose tones have less than a tenth of the preamble's power is not there.
const CUT: f32 = 0.1;
/// Samples taken into the buffer at a time.
const MOST_AT_ONCE: usize = 4_096;
