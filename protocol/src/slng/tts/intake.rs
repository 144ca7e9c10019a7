//! Audio as it arrives, made into whole samples: container headers are skipped, odd bytes carried.

use bytes::Bytes;
use voxline_audio::{AudioFormat, Encoding};

/// Turns the pieces of one link's audio into runs of whole samples.
#[derive(Debug)]
pub(super) struct Intake {
    format: AudioFormat,
    /// What may yet turn out to be a header.
    head: Vec<u8>,
    at_start: bool,
    carry: Option<u8>,
}

/// What a piece of audio came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Whole samples, possibly none.
    pub(super) audio: Bytes,
    /// What the audio's own header says, if it is not what was asked for.
    pub(super) mismatch: Option<String>,
}

impl Intake {
    pub(super) const fn new(format: AudioFormat) -> Self {
        Self { format, head: Vec::new(), at_start: true, carry: None }
    }

    /// Forgets everything: the next piece begins an utterance.
    pub(super) fn reset(&mut self) {
        self.head.clear();
        self.at_start = true;
        self.carry = None;
    }

    /// Whether bytes arrived that may still turn out to be audio.
    pub(super) fn holds_audio(&self) -> bool {
        !self.head.is_empty() || self.carry.is_some()
    }

    /// Takes one piece.
    pub(super) fn push(&mut self, piece: Bytes) -> Taken {
        // A route may put a header before every fragment, so any piece may begin with one.
        let may_be_header = self.at_start || starts_riff(&piece);
        if self.head.is_empty() && !(may_be_header && b"RIFF".starts_with(&piece[..piece.len().min(4)])) {
            self.at_start &= piece.is_empty();
            return Taken { audio: self.whole_samples(piece), mismatch: None };
        }
        self.head.extend_from_slice(&piece);
        match read_header(&self.head) {
            Header::Incomplete if self.head.len() <= MAX_HEADER => Taken::default(),
            Header::Incomplete | Header::None => Taken { audio: self.finish(), mismatch: None },
            Header::Wave { body, told } => {
                let head = Bytes::from(std::mem::take(&mut self.head));
                self.at_start = false;
                self.carry = None;
                let mismatch = told.filter(|told| !told.is(self.format)).map(|told| told.to_string());
                Taken { audio: self.whole_samples(head.slice(body..)), mismatch }
            }
        }
    }

    /// The end of an utterance: what looked like a header and was none is audio after all.
    pub(super) fn finish(&mut self) -> Bytes {
        self.at_start = false;
        let head = Bytes::from(std::mem::take(&mut self.head));
        self.whole_samples(head)
    }

    /// Keeps a trailing half sample for the next piece.
    fn whole_samples(&mut self, piece: Bytes) -> Bytes {
        if self.format.encoding.bytes_per_sample() == 1 {
            return piece;
        }
        let mut piece = match self.carry.take() {
            Some(byte) => [&[byte], &piece[..]].concat().into(),
            None => piece,
        };
        if piece.len() % 2 == 1 {
            self.carry = piece.split_off(piece.len() - 1).first().copied();
        }
        piece
    }
}

enum Header {
    Incomplete,
    None,
    Wave { body: usize, told: Option<Told> },
}

/// The format chunk of a RIFF header.
struct Told {
    tag: u16,
    channels: u16,
    hz: u32,
    bits: u16,
}

impl Told {
    fn is(&self, format: AudioFormat) -> bool {
        let bits = 8 * format.encoding.bytes_per_sample();
        let tag_fits = match self.tag {
            ALAW => format.encoding == Encoding::ALaw,
            MULAW => format.encoding == Encoding::MuLaw,
            // PCM and the extensible tag.
            _ => format.encoding == Encoding::Linear16Le,
        };
        tag_fits && self.channels == 1 && self.hz == format.rate.hz() && usize::from(self.bits) == bits
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tag, channels, hz, bits } = self;
        write!(f, "header says {hz} Hz, {bits} bits, {channels} channel(s), format tag {tag}")
    }
}

fn starts_riff(piece: &[u8]) -> bool {
    piece.len() >= 12 && piece.starts_with(b"RIFF") && piece[8..].starts_with(b"WAVE")
}

/// Walks the chunks up to `data`. Lengths of the outer chunks are not believed: streams write placeholders there.
fn read_header(head: &[u8]) -> Header {
    if head.len() < 12 {
        let shorter = head.len().min(4);
        return if head[..shorter] == b"RIFF"[..shorter] { Header::Incomplete } else { Header::None };
    }
    if !starts_riff(head) {
        return Header::None;
    }
    let mut told = None;
    let mut at = 12;
    loop {
        let Some(chunk) = head.get(at..at + 8) else { return Header::Incomplete };
        let (id, size) = (&chunk[..4], u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]) as usize);
        if id == b"data" {
            return Header::Wave { body: at + 8, told };
        }
        if size > MAX_HEADER {
            return Header::None;
        }
        let Some(content) = head.get(at + 8..at + 8 + size) else { return Header::Incomplete };
        if id == b"fmt " && size >= 16 {
            let short = |at: usize| u16::from_le_bytes([content[at], content[at + 1]]);
            let hz = u32::from_le_bytes([content[4], content[5], content[6], content[7]]);
            told = Some(Told { tag: short(0), channels: short(2), hz, bits: short(14) });
        }
        // Chunks start at even offsets.
        at += 8 + size + size % 2;
    }
}

/// Bytes a header may take; more is no header.
const MAX_HEADER: usize = 4096;
// RIFF format tags, RFC 2361.
const ALAW: u16 = 6;
const MULAW: u16 = 7;

#[cfg(test)]
mod tests {
    use voxline_audio::SampleRate;

    use super::*;

    const FORMAT: AudioFormat = AudioFormat::linear16(SampleRate::Hz24000);

    fn wave(hz: u32, audio: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\xff\xff\xff\x7fWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
        bytes.extend(hz.to_le_bytes());
        bytes.extend((hz * 2).to_le_bytes());
        bytes.extend([2, 0, 16, 0]);
        bytes.extend(b"data\xff\xff\xff\x7f");
        bytes.extend(audio);
        bytes
    }

    #[test]
    fn a_header_is_skipped_however_it_is_cut() {
        let audio: Vec<u8> = (0..40).collect();
        let bytes = wave(24_000, &audio);
        for size in 1..=bytes.len() {
            let mut intake = Intake::new(FORMAT);
            let mut out = Vec::new();
            for piece in bytes.chunks(size) {
                let taken = intake.push(Bytes::copy_from_slice(piece));
                assert_eq!(taken.mismatch, None);
                out.extend_from_slice(&taken.audio);
            }
            out.extend_from_slice(&intake.finish());
            assert_eq!(out, audio, "pieces of {size}");
        }
    }

    #[test]
    fn raw_audio_passes_however_it_is_cut_and_never_by_half_samples() {
        let audio: Vec<u8> = b"RIFx".iter().copied().chain(0..60).collect();
        for size in 1..=audio.len() {
            let mut intake = Intake::new(FORMAT);
            let mut out = Vec::new();
            for piece in audio.chunks(size) {
                let taken = intake.push(Bytes::copy_from_slice(piece));
                assert_eq!(taken.audio.len() % 2, 0);
                out.extend_from_slice(&taken.audio);
            }
            out.extend_from_slice(&intake.finish());
            assert_eq!(out, audio, "pieces of {size}");
        }
    }

    #[test]
    fn a_header_that_contradicts_the_request_is_told() {
        let taken = Intake::new(FORMAT).push(wave(22_050, &[1, 2]).into());
        assert!(taken.mismatch.unwrap().contains("22050 Hz"));
        assert_eq!(&taken.audio[..], [1, 2]);
    }

    #[test]
    fn a_header_before_a_later_fragment_is_skipped_too() {
        let mut intake = Intake::new(FORMAT);
        assert_eq!(&intake.push(wave(24_000, &[1, 2]).into()).audio[..], [1, 2]);
        assert_eq!(&intake.push(Bytes::from_static(&[3, 4])).audio[..], [3, 4]);
        assert_eq!(&intake.push(wave(24_000, &[5, 6]).into()).audio[..], [5, 6]);
    }
}
