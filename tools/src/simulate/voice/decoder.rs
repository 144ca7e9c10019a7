//! Sound to text.

use std::collections::VecDeque;
use std::fmt;

use voxline_audio::SampleRate;

use super::block::{Block, HEADER_BYTES, Header};
use super::pause::Pauses;
use super::sync::{Preamble, Sync};
use super::tones::{ByteReader, PREAMBLE_SYMBOLS, symbol_samples};

/// Hears tonetext in a stream of samples, from whatever point it is given the stream.
///
/// Give it samples with [`push`](Self::push), in pieces of any length, and take what it heard with
/// [`poll`](Self::poll). A block is reported when its last symbol has arrived, one that is cut when something else
/// follows or two seconds of silence have. Cost: some 40 multiplications a sample, far below one percent of real time.
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
#[derive(Clone)]
pub struct Decoder {
    symbol: usize,
    reader: ByteReader,
    sync: Sync,
    pauses: Pauses,
    /// Samples given.
    position: u64,
    /// What may still be needed, without the pauses; `taken` is the position of its first sample among such.
    samples: Vec<f32>,
    taken: u64,
    /// Up to where `sync` has searched, without the pauses.
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
            pauses: Pauses::new(rate),
            position: 0,
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
            self.position += part.len() as u64;
            self.pauses.push(part.iter().map(|&sample| f32::from(sample) / 32_768.0), &mut self.samples);
            self.search();
            self.forget();
        }
    }

    /// The stream ends here: a block that is not complete is reported as damaged.
    pub fn finish(&mut self) {
        self.pauses.flush(&mut self.samples);
        self.search();
        self.give_up(self.heard());
        self.forget();
    }

    /// What was heard next.
    pub fn poll(&mut self) -> Option<VoiceEvent> {
        self.events.pop_front()
    }

    /// Samples given so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Whether a block has begun and is not complete yet.
    #[must_use]
    pub const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Samples heard, without the pauses. From here on, all positions are such.
    const fn heard(&self) -> u64 {
        self.taken + self.samples.len() as u64
    }

    fn search(&mut self) {
        let hop = self.sync.hop() as u64;
        while self.searched + hop <= self.heard() {
            let at = (self.searched - self.taken) as usize;
            let nearest = self.searched.saturating_sub(hop / 2);
            let joint = self.pauses.joints_in(nearest, nearest + hop).next().is_some();
            let found = self.sync.push(&self.samples[at..at + hop as usize], joint);
            self.searched += hop;
            if let Some(preamble) = found {
                self.begin(preamble);
            }
            self.read(self.searched);
        }
        // The end of a stream need not be the end of a hop.
        self.read(self.heard());
        if self.reading.as_ref().is_some_and(|reading| self.pauses.removed() > reading.pauses_end) {
            self.give_up(self.heard());
        }
    }

    fn begin(&mut self, preamble: Preamble) {
        let start = preamble.end.saturating_sub((PREAMBLE_SYMBOLS * self.symbol) as u64);
        // One that was broken may be seen twice: before its break and after.
        if let Some(reading) = &self.reading
            && preamble.end < reading.preamble.end + self.symbol as u64
        {
            if preamble.score < reading.preamble.score {
                return;
            }
            self.reading = None;
        }
        self.give_up(start);
        self.reading = Some(Reading {
            start: self.pauses.start_at(start),
            pauses_end: self.pauses.limit_from(start),
            preamble,
            bytes: Vec::new(),
        });
    }

    /// Reads the symbols whose middle lies before `limit`.
    fn read(&mut self, limit: u64) {
        let window = self.reader.window();
        while let Some(reading) = &mut self.reading {
            let from = reading.next_symbol(self.symbol);
            let middle = from + (self.symbol - window) as u64 / 2;
            let middle_end = middle + window as u64;
            if middle_end > limit {
                return;
            }
            let joints: Vec<usize> = self.pauses.joints_in(middle, middle_end).collect();
            let at = (middle - self.taken) as usize;
            let (byte, power) = self.reader.read(&self.samples[at..at + window], &joints);
            if power < reading.preamble.level * CUT
                || self.pauses.removed_before(middle_end) > reading.pauses_end
            {
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
        let Some(reading) = &self.reading else { return };
        let Some(block) = Block::from_bytes(&reading.bytes) else { return self.give_up(end) };
        self.events.push_back(VoiceEvent::Block {
            block,
            start: reading.start,
            end: self.pauses.end_at(end),
        });
        self.reading = None;
    }

    fn give_up(&mut self, end: u64) {
        let Some(reading) = self.reading.take() else { return };
        // What follows a pause is of this block only if the checksum says so.
        let begun = reading.preamble.end;
        let pause = self.pauses.joints_in(begun, end).next().map(|joint| begun + joint as u64);
        self.events.push_back(VoiceEvent::Damaged {
            block: reading.header().map(|header| (header.speaker, header.number)),
            start: reading.start,
            end: self.pauses.end_at(pause.unwrap_or(end)).max(reading.start),
        });
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
        // The next preamble may have begun that long ago.
        let begun = self.taken.saturating_sub(((PREAMBLE_SYMBOLS + 1) * self.symbol) as u64);
        self.pauses
            .forget_before(self.reading.as_ref().map_or(begun, |reading| begun.min(reading.preamble.end)));
    }
}

impl fmt::Debug for Decoder {
    /// Without the samples.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("position", &self.position)
            .field("reading", &self.reading)
            .field("events", &self.events)
            .finish_non_exhaustive()
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
    /// One that falls silent may go on for two seconds; then, or when another block or [`Decoder::finish`] comes
    /// before, it is reported.
    ///
    /// One that is cut within its 60 ms preamble leaves no event; its number is missing then.
    Damaged {
        /// Who spoke and the block's number, where the header was whole.
        block: Option<(u8, u16)>,
        /// Where its preamble began.
        start: u64,
        /// Up to where it could be followed: its first pause, if it had any.
        end: u64,
    },
}

/// A block being read.
#[derive(Debug, Clone)]
struct Reading {
    /// In the stream, with its pauses.
    start: u64,
    /// How much may have been taken out of the stream before this block has paused for too long.
    pauses_end: u64,
    preamble: Preamble,
    bytes: Vec<u8>,
}

impl Reading {
    /// Where the symbol of the next byte begins.
    const fn next_symbol(&self, symbol: usize) -> u64 {
        self.preamble.end + (self.bytes.len() * symbol) as u64
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
}

/// A symbol whose tones have less than a tenth of the preamble's power is not there.
const CUT: f32 = 0.1;
/// Samples taken into the buffer at a time.
const MOST_AT_ONCE: usize = 4_096;
