//! Blocks: how text is divided, and the bytes of one division.

use std::time::Duration;

use super::tones::{PREAMBLE_SYMBOLS, SYMBOLS_PER_SECOND};

/// A few characters of one speaker, numbered.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Block {
    /// Whose voice: two speakers, or two lives of one, have different numbers here.
    pub speaker: u8,
    /// Position in the life of the speaker; wraps after 65 535 (more than six hours of speech).
    pub number: u16,
    /// At most eight characters.
    pub text: String,
    /// Whether this block opens an utterance.
    pub first: bool,
    /// Whether this block closes an utterance.
    pub last: bool,
}

impl Block {
    /// How long the block sounds.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration_of_symbols(symbols_of(self.text.len()))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let [high, low] = self.number.to_be_bytes();
        let flags = u8::from(self.first) | u8::from(self.last) << 1;
        let mut bytes = vec![self.speaker, high, low, (self.text.len() as u8) << 2 | flags];
        bytes.push(crc8(&bytes));
        bytes.extend_from_slice(self.text.as_bytes());
        bytes.extend_from_slice(&crc16(&bytes).to_be_bytes());
        bytes
    }

    /// `None` where the checksum or the text is wrong. `bytes` must be as long as its header says.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let header = Header::from_bytes(header)?;
        let (text, crc) = rest.split_last_chunk::<CRC_BYTES>()?;
        if text.len() != header.text_bytes
            || crc16(&bytes[..bytes.len() - CRC_BYTES]) != u16::from_be_bytes(*crc)
        {
            return None;
        }
        Some(Self {
            speaker: header.speaker,
            number: header.number,
            text: String::from_utf8(text.to_vec()).ok()?,
            first: header.first,
            last: header.last,
        })
    }
}

/// How `text` is divided into blocks: at most eight characters and 24 bytes each, never within a character.
///
/// ```
/// use voxline::simulate::voice::blocks_of;
///
/// let parts: Vec<_> = blocks_of("Hello, caller").collect();
/// assert_eq!(parts, ["Hello, c", "aller"]);
/// ```
pub fn blocks_of(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest
            .char_indices()
            .map(|(at, character)| at + character.len_utf8())
            .take(MAX_CHARACTERS)
            .take_while(|&end| end <= MAX_BYTES)
            .last()?;
        let (block, after) = rest.split_at(end);
        rest = after;
        Some(block)
    })
}

/// How long `text` sounds as one utterance.
#[must_use]
pub fn duration_of(text: &str) -> Duration {
    duration_of_symbols(blocks_of(text).map(|part| symbols_of(part.len())).sum())
}

/// What a block says about itself before its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) speaker: u8,
    pub(super) number: u16,
    pub(super) text_bytes: usize,
    first: bool,
    last: bool,
}

impl Header {
    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let [speaker, high, low, length, crc] = *bytes;
        let text_bytes = usize::from(length >> 2);
        (crc8(&bytes[..HEADER_BYTES - 1]) == crc && text_bytes <= MAX_BYTES).then_some(Self {
            speaker,
            number: u16::from_be_bytes([high, low]),
            text_bytes,
            first: length & 1 != 0,
            last: length & 2 != 0,
        })
    }

    /// Bytes of the whole block.
    pub(super) fn block_bytes(&self) -> usize {
        HEADER_BYTES + self.text_bytes + CRC_BYTES
    }
}

fn symbols_of(text_bytes: usize) -> usize {
    PREAMBLE_SYMBOLS + HEADER_BYTES + text_bytes + CRC_BYTES
}

fn duration_of_symbols(symbols: usize) -> Duration {
    Duration::from_secs(symbols as u64) / SYMBOLS_PER_SECOND
}

/// CRC-8/SMBus, but started from ones so that silence decoded as zeros is wrong.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0xFF, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

/// CRC-16/CCITT-FALSE.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 }
            },
        )
    })
}

/// Speaker, number (two), length and flags, CRC-8.
pub(super) const HEADER_BYTES: usize = 5;
const CRC_BYTES: usize = 2;
/// Short, so that the end of a cut utterance is known to a few characters.
const MAX_CHARACTERS: usize = 8;
/// Eight characters of three bytes; the length field has six bits.
const MAX_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_published_check_value() {
        assert_eq!(crc16(b"123456789"), 0x29B1, "CRC-16/CCITT-FALSE");
        // CRC-8/ROHC and SMBus differ from ours in one parameter each, so this is our own figure.
        assert_eq!(crc8(b"123456789"), 0xFB);
    }

    #[test]
    fn division_loses_nothing_and_keeps_every_block_short() {
        for text in ["", "a", "exactly8", "exactly 9", "żółć żółć żółć", "日本語の音声テスト", "👩‍👩‍👧‍👦 family 👩‍👩‍👧‍👦"]
        {
            assert_eq!(blocks_of(text).collect::<String>(), text);
            assert!(blocks_of(text).all(|part| (1..=MAX_BYTES).contains(&part.len())), "{text}");
            assert!(blocks_of(text).all(|part| part.chars().count() <= MAX_CHARACTERS), "{text}");
        }
    }

    #[test]
    fn one_wrong_bit_anywhere_is_noticed() {
        let block = Block { speaker: 7, number: 4_660, text: "Hello, c".into(), first: true, last: false };
        let bytes = block.to_bytes();
        assert_eq!(Block::from_bytes(&bytes), Some(block));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Block::from_bytes(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn speech_runs_at_a_speaking_rate() {
        let text = "I would like to change my appointment to Thursday afternoon, if that is possible at all.";
        let rate = text.len() as f64 / duration_of(text).as_secs_f64();
        assert!((15.0..25.0).contains(&rate), "{rate} characters a second");
    }
}
