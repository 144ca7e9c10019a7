//! Samples out of a WAV file, a block at a time.

use std::io::{self, Read};

use super::{WavEncoding, WavError, WavFormat, WavHeader, WavLength};
use crate::{g711, pcm};

/// Reads the samples of a WAV file, in bounded memory however long it is.
///
/// A length the file does not keep is no error: the samples end where the data ends, and
/// [`missing_bytes`](Self::missing_bytes) says what was promised and is not there.
///
/// ```
/// use voxline_audio::{SampleRate, WavEncoding, WavFormat, WavHeader, WavReader};
///
/// let format = WavFormat::new(WavEncoding::Linear16, 1, SampleRate::Hz8000);
/// let mut file = WavHeader::encode(format, 8)?;
/// file.extend_from_slice(&[0x00, 0x40, 0x00, 0xC0]); // two of four samples
/// let mut reader = WavReader::new(&file[..])?;
/// let mut samples = [0.0; 16];
/// assert_eq!(reader.read(&mut samples)?, 2);
/// assert_eq!(samples[..2], [0.5, -0.5]);
/// assert_eq!(reader.read(&mut samples)?, 0);
/// assert_eq!(reader.missing_bytes(), 4);
/// # Ok::<(), voxline_audio::WavError>(())
/// ```
#[derive(Debug)]
pub struct WavReader<R> {
    input: R,
    header: WavHeader,
    /// Bytes read past the header, not yet taken, at the front of `buffer`.
    buffer: Vec<u8>,
    buffered: usize,
    /// Bytes of sound still promised; unlimited where the header does not say.
    left: u64,
    frames_read: u64,
    ended: bool,
}

impl<R: Read> WavReader<R> {
    /// Reads the header of `input`. Reads ahead in blocks of its own, so `input` needs no buffer.
    ///
    /// # Errors
    ///
    /// [`WavError::Empty`] for no bytes, [`WavError::Truncated`] for an end inside the header, and what
    /// [`WavHeader::parse`] returns.
    pub fn new(mut input: R) -> Result<Self, WavError> {
        let mut bytes = vec![0; BLOCK_BYTES];
        let mut filled = 0;
        loop {
            let got = read_some(&mut input, &mut bytes[filled..])?;
            filled += got;
            if let Some(header) = WavHeader::parse(&bytes[..filled])? {
                bytes.copy_within(header.data_at..filled, 0);
                let left = match header.length {
                    WavLength::Bytes(bytes) => bytes,
                    WavLength::Unknown => u64::MAX,
                };
                let buffered = filled - header.data_at;
                return Ok(Self {
                    input,
                    header,
                    buffer: bytes,
                    buffered,
                    left,
                    frames_read: 0,
                    ended: false,
                });
            }
            match (got, filled) {
                (0, 0) => return Err(WavError::Empty),
                (0, length) => return Err(WavError::Truncated { length }),
                _ => {}
            }
            if filled == bytes.len() {
                if filled > WavHeader::SEARCH_LIMIT {
                    return Err(WavError::NoHeader { searched: filled });
                }
                bytes.resize(filled * 2, 0);
            }
        }
    }

    /// Fills `samples` from the front, channels interleaved within ±1, and returns how many it wrote: fewer than there is room for
    /// only at the end, always whole sample frames, and 0 once the sound is over.
    ///
    /// # Errors
    ///
    /// [`WavError::Io`]; what was read before it is lost.
    ///
    /// # Panics
    ///
    /// Panics unless `samples` has room for one sample of each channel, or is empty.
    pub fn read(&mut self, samples: &mut [f32]) -> Result<usize, WavError> {
        self.read_blocks(samples, |encoding, bytes, samples| match encoding {
            WavEncoding::Float32 => each(bytes, samples, |bytes| {
                let value = f32::from_le_bytes(bytes);
                if value.is_finite() { value } else { 0.0 }
            }),
            WavEncoding::Linear24 => each(bytes, samples, |bytes| from_24_bits(bytes) as f32 / FULL_SCALE),
            WavEncoding::Linear32 => {
                each(bytes, samples, |bytes| i32::from_le_bytes(bytes) as f32 / FULL_SCALE);
            }
            WavEncoding::Unsigned8 => each(bytes, samples, |[byte]| (f32::from(byte) - 128.0) / 128.0),
            WavEncoding::ALaw | WavEncoding::Linear16 | WavEncoding::MuLaw => {
                let mut linear = [0; BLOCK_BYTES];
                let linear = &mut linear[..samples.len()];
                decode(encoding, bytes, linear);
                pcm::i16_to_f32(linear, samples);
            }
        })
    }

    /// As [`read`](Self::read), for samples at the edge. Float samples past full scale are held there.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn read_i16(&mut self, samples: &mut [i16]) -> Result<usize, WavError> {
        self.read_blocks(samples, decode)
    }

    #[expect(
        clippy::panic_in_result_fn,
        reason = "documented: no room for a sample is the caller's bug, not the file's"
    )]
    fn read_blocks<S>(
        &mut self,
        samples: &mut [S],
        convert: impl Fn(WavEncoding, &[u8], &mut [S]),
    ) -> Result<usize, WavError> {
        let WavFormat { encoding, channels, .. } = self.header.format;
        let channels = usize::from(channels);
        assert!(samples.is_empty() || samples.len() >= channels, "no room for {channels} channels");
        let room = samples.len() - samples.len() % channels;
        let mut written = 0;
        while written < room {
            self.fill()?;
            let bytes = self.header.format.bytes_per_frame();
            let there = self.buffered.min(usize::try_from(self.left).unwrap_or(usize::MAX)) / bytes;
            let frames = there.min((room - written) / channels);
            if frames == 0 {
                self.ended = true;
                break;
            }
            let (taken, next) = (frames * bytes, written + frames * channels);
            convert(encoding, &self.buffer[..taken], &mut samples[written..next]);
            self.buffer.copy_within(taken..self.buffered, 0);
            self.buffered -= taken;
            if self.header.length != WavLength::Unknown {
                self.left -= taken as u64;
            }
            self.frames_read += frames as u64;
            written = next;
        }
        Ok(written)
    }

    /// Reads until a block is full or the input ends.
    fn fill(&mut self) -> Result<(), WavError> {
        // Half full is enough: moving the rest to the front then costs less than the reading.
        while self.buffered < BLOCK_BYTES / 2 {
            let got =
                read_some(&mut self.input, &mut self.buffer[self.buffered..BLOCK_BYTES.max(self.buffered)])?;
            if got == 0 {
                break;
            }
            self.buffered += got;
        }
        Ok(())
    }
}

impl<R> WavReader<R> {
    /// What the header said.
    #[must_use]
    pub const fn header(&self) -> &WavHeader {
        &self.header
    }

    /// What the samples are.
    #[must_use]
    pub const fn format(&self) -> WavFormat {
        self.header.format
    }

    /// Sample frames the header promises, if it does.
    #[must_use]
    pub const fn promised_frames(&self) -> Option<u64> {
        match self.header.length {
            WavLength::Bytes(bytes) => Some(bytes / self.header.format.bytes_per_frame() as u64),
            WavLength::Unknown => None,
        }
    }

    /// Sample frames read so far.
    #[must_use]
    pub const fn frames_read(&self) -> u64 {
        self.frames_read
    }

    /// Whether something goes on after the sound the header promised that is no chunk: the header may promise too little,
    /// as it does where sound was added to a file behind its back. False before the end.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let WavLength::Bytes(length) = self.header.length else {
            return false;
        };
        // Less than a sample frame of what was promised may be left, and an odd length is padded.
        let rest = usize::try_from(self.left).unwrap_or(usize::MAX).saturating_add((length & 1) as usize);
        let next = self.buffer[..self.buffered].get(rest..).and_then(|next| next.first_chunk());
        self.ended && next.is_some_and(|next| !begins_chunk(next))
    }

    /// Bytes of sound the header promised and the input did not have; 0 before the end, and where it did not say.
    #[must_use]
    pub const fn missing_bytes(&self) -> u64 {
        match self.header.length {
            WavLength::Bytes(_) if self.ended => self.left,
            WavLength::Bytes(_) | WavLength::Unknown => 0,
        }
    }
}

/// Whether `bytes` could be the head of a chunk, or the zeros a program fills up with: sound hardly ever has four letters.
fn begins_chunk(bytes: &[u8; 8]) -> bool {
    *bytes == [0; 8] || bytes[..4].iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn decode(encoding: WavEncoding, bytes: &[u8], samples: &mut [i16]) {
    match encoding {
        WavEncoding::ALaw => g711::decode_alaw(bytes, samples),
        // A cast saturates and turns not-a-number into silence.
        WavEncoding::Float32 => {
            each(bytes, samples, |bytes| (f32::from_le_bytes(bytes) * 32_768.0).round_ties_even() as i16);
        }
        WavEncoding::Linear16 => pcm::le_bytes_to_i16(bytes, samples),
        WavEncoding::Linear24 => each(bytes, samples, |bytes| to_16_bits(from_24_bits(bytes))),
        WavEncoding::Linear32 => each(bytes, samples, |bytes| to_16_bits(i32::from_le_bytes(bytes))),
        WavEncoding::MuLaw => g711::decode_mulaw(bytes, samples),
        WavEncoding::Unsigned8 => each(bytes, samples, |[byte]| (i16::from(byte) - 128) << 8),
    }
}

fn each<const WIDTH: usize, S>(bytes: &[u8], samples: &mut [S], convert: impl Fn([u8; WIDTH]) -> S) {
    for (sample, bytes) in samples.iter_mut().zip(bytes.as_chunks::<WIDTH>().0) {
        *sample = convert(*bytes);
    }
}

/// In the upper 24 of 32 bits.
fn from_24_bits([low, middle, high]: [u8; 3]) -> i32 {
    i32::from_le_bytes([0, low, middle, high])
}

fn to_16_bits(sample: i32) -> i16 {
    (f64::from(sample) / 65_536.0).round_ties_even() as i16
}

/// One read that is not interrupted.
fn read_some(input: &mut impl Read, into: &mut [u8]) -> Result<usize, WavError> {
    loop {
        match input.read(into) {
            Ok(got) => return Ok(got),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(WavError::Io(error)),
        }
    }
}

/// Of 32 bits.
const FULL_SCALE: f32 = 2_147_483_648.0;

/// What is read at once: 8 KiB is half a second of a call.
const BLOCK_BYTES: usize = 8 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, and now and then an interruption.
    #[derive(Debug)]
    struct Dribble<'a>(&'a [u8], bool);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let take = self.0.len().min(into.len()).min(1);
            into[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn linear16(channels: u16, promised: u64, samples: &[i16]) -> Vec<u8> {
        let format = WavFormat { encoding: WavEncoding::Linear16, channels, hz: 8_000 };
        let mut file = WavHeader::encode(format, promised).unwrap();
        file.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        file
    }

    fn read_all(file: &[u8], block: usize) -> (Vec<i16>, u64) {
        let mut reader = WavReader::new(file).unwrap();
        let (mut out, mut samples) = (Vec::new(), vec![0; block]);
        loop {
            let got = reader.read_i16(&mut samples).unwrap();
            if got == 0 {
                return (out, reader.missing_bytes());
            }
            out.extend_from_slice(&samples[..got]);
        }
    }

    #[test]
    fn samples_are_the_same_in_blocks_of_any_size() {
        let samples: Vec<i16> = (0..20_000).map(|n| (n * 7_919) as i16).collect();
        let file = linear16(2, 40_000, &samples);
        for block in [2, 3, 160, 5_001, 50_000] {
            assert_eq!(read_all(&file, block), (samples.clone(), 0), "block {block}");
        }
        let mut reader = WavReader::new(Dribble(&file, false)).unwrap();
        let mut out = vec![0; 20_000];
        assert_eq!(reader.read_i16(&mut out).unwrap(), 20_000);
        assert_eq!(out, samples);
    }

    #[test]
    fn a_lying_length_loses_nothing_and_is_reported() {
        let samples: Vec<i16> = (1..=100).collect();
        for (promised, expected, missing) in [(200, 100, 0), (1_000, 100, 800), (0, 100, 0), (100, 50, 0)] {
            let (got, left) = read_all(&linear16(1, promised, &samples), 64);
            assert_eq!((got.len(), left), (expected, missing), "promised {promised}");
            assert_eq!(got, samples[..expected]);
        }
    }

    #[test]
    fn sound_beyond_a_promise_that_is_too_small_is_noticed_and_chunks_and_zeros_are_none() {
        let samples: Vec<i16> = (1..=100).map(|n| n * 300).collect();
        for (name, promised, after, expected) in [
            ("sound", 100, &b""[..], true),
            ("a chunk", 200, b"LIST\x04\0\0\0abcd", false),
            ("zeros", 200, &[0; 64], false),
            ("nothing", 200, b"", false),
            ("no length", 0, b"", false),
            ("padding and a chunk", 199, b"LIST\x04\0\0\0abcd", false),
        ] {
            let mut file = linear16(1, promised, &samples);
            file.extend_from_slice(after);
            let mut reader = WavReader::new(&file[..]).unwrap();
            assert!(!reader.goes_on(), "{name}: before the end");
            let mut out = [0; 16];
            while reader.read_i16(&mut out).unwrap() > 0 {}
            assert_eq!(reader.goes_on(), expected, "{name}");
        }
    }

    #[test]
    fn every_cut_of_a_file_is_read_up_to_its_last_whole_sample_or_refused() {
        let samples: Vec<i16> = (1..=20).collect();
        let file = linear16(2, 40, &samples);
        for cut in 0..=file.len() {
            match WavReader::new(&file[..cut]) {
                Err(WavError::Empty) => assert_eq!(cut, 0),
                Err(WavError::Truncated { length }) => assert!(length == cut && cut < 44),
                Err(error) => panic!("cut at {cut}: {error}"),
                Ok(_) => {
                    let frames = (cut - 44) / 4;
                    assert_eq!(read_all(&file[..cut], 8).0, samples[..frames * 2], "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn every_encoding_reads_as_itself() {
        for (encoding, bytes, expected) in [
            (WavEncoding::MuLaw, &[0xFF, 0x00, 0x80][..], [0i16, -32_124, 32_124]),
            (WavEncoding::ALaw, &[0xD5, 0x2A, 0xAA], [8, -32_256, 32_256]),
            (WavEncoding::Linear16, &[0, 0, 0, 0x80, 0xFF, 0x7F], [0, -32_768, 32_767]),
            (WavEncoding::Float32, &[0, 0, 0xC0, 0x7F, 0, 0, 0, 0xC0, 0, 0, 0, 0x3F], [0, -32_768, 16_384]),
            (WavEncoding::Linear24, &[0x80, 0, 0, 0, 0, 0x80, 0xFF, 0xFF, 0x7F], [0, -32_768, 32_767]),
            (
                WavEncoding::Linear32,
                &[0, 0x80, 1, 0, 0, 0, 0, 0x80, 0xFF, 0xFF, 0xFF, 0x7F],
                [2, -32_768, 32_767],
            ),
            (WavEncoding::Unsigned8, &[128, 0, 255], [0, -32_768, 32_512]),
        ] {
            let format = WavFormat { encoding, channels: 1, hz: 8_000 };
            let mut file = WavHeader::encode(format, bytes.len() as u64).unwrap();
            file.extend_from_slice(bytes);
            assert_eq!(read_all(&file, 16).0, expected, "{encoding:?}");
            let mut samples = [0.0; 3];
            WavReader::new(&file[..]).unwrap().read(&mut samples).unwrap();
            for (sample, expected) in samples.iter().zip(expected) {
                let near = (sample.clamp(-1.0, 1.0) - f32::from(expected) / 32_768.0).abs();
                assert!(near < 1.01 / 32_768.0, "{encoding:?}: {sample}");
            }
        }
    }
}
