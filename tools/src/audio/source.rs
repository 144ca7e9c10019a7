//! Mono samples out of a file, a block at a time, whatever the file is.

use std::io::{self, Read};
use std::time::Duration;

use thiserror::Error;
use voxline_audio::{AudioFormat, Encoding, SampleRate, WavEncoding, WavError, WavReader, pcm};

/// Reads sound in blocks of 200 ms, in bounded memory however long it is.
///
/// ```
/// use voxline::audio::Source;
/// use voxline_audio::AudioFormat;
///
/// let mut source = Source::raw(&[0xFF_u8; 2_000][..], AudioFormat::PHONE);
/// assert_eq!(source.read()?.len(), 1_600);
/// assert_eq!(source.read()?.len(), 400);
/// assert!(source.read()?.is_empty());
/// # Ok::<(), voxline::audio::AudioError>(())
/// ```
#[derive(Debug)]
pub struct Source<R> {
    input: Input<R>,
    format: AudioFormat,
    block: Vec<f32>,
}

#[derive(Debug)]
enum Input<R> {
    Raw { bytes: R, held: Vec<u8>, decoded: Vec<i16> },
    Wav { reader: WavReader<R>, interleaved: Vec<f32> },
}

impl<R: Read> Source<R> {
    /// The samples of a WAV file; two channels are mixed down to one.
    ///
    /// # Errors
    ///
    /// [`AudioError::Wav`] for what is no WAV file, has a codec that is not known or a rate outside
    /// [`SampleRate::ALL`].
    pub fn wav(bytes: R) -> Result<Self, AudioError> {
        let reader = WavReader::new(bytes)?;
        let header = reader.format();
        let encoding = if header.encoding == WavEncoding::ALaw {
            Encoding::ALaw
        } else if header.encoding == WavEncoding::MuLaw {
            Encoding::MuLaw
        } else {
            Encoding::Linear16Le
        };
        let format = AudioFormat::new(encoding, SampleRate::try_from(header.hz).map_err(WavError::from)?);
        let interleaved = vec![0.0; block_samples(format.rate) * usize::from(header.channels)];
        Ok(Self { input: Input::Wav { reader, interleaved }, format, block: Vec::new() })
    }

    /// Samples without a header; half a sample at the end is left out.
    #[must_use]
    pub fn raw(bytes: R, format: AudioFormat) -> Self {
        let samples = block_samples(format.rate);
        let held = vec![0; samples * format.encoding.bytes_per_sample()];
        Self { input: Input::Raw { bytes, held, decoded: vec![0; samples] }, format, block: Vec::new() }
    }

    /// The next block, a whole number of 20 ms but at the end; empty once the sound is over.
    ///
    /// # Errors
    ///
    /// [`AudioError::Io`] and [`AudioError::Wav`] where reading fails.
    pub fn read(&mut self) -> Result<&[f32], AudioError> {
        let block = &mut self.block;
        block.resize(block_samples(self.format.rate), 0.0);
        match &mut self.input {
            Input::Raw { bytes, held, decoded } => {
                let width = self.format.encoding.bytes_per_sample();
                let samples = fill(bytes, held)? / width;
                self.format.encoding.decode(&held[..samples * width], &mut decoded[..samples]);
                block.truncate(samples);
                pcm::i16_to_f32(&decoded[..samples], block);
            }
            Input::Wav { reader, interleaved } => {
                let channels = usize::from(reader.format().channels);
                let read = reader.read(interleaved)?;
                block.truncate(read / channels);
                for (sample, frame) in block.iter_mut().zip(interleaved.chunks_exact(channels)) {
                    *sample = frame.iter().sum::<f32>() / channels as f32;
                }
            }
        }
        Ok(block)
    }
}

impl<R> Source<R> {
    /// What the samples are, as one channel in an encoding of the wire: floats and integers of other widths count as 16 bits.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    /// How the file's samples are written, for people.
    pub(super) fn encoding_name(&self) -> String {
        match &self.input {
            Input::Wav { reader, .. } => match reader.format().encoding {
                WavEncoding::Float32 => "32-bit float".to_owned(),
                WavEncoding::Linear24 => "24-bit integer".to_owned(),
                WavEncoding::Linear32 => "32-bit integer".to_owned(),
                WavEncoding::Unsigned8 => "8-bit integer".to_owned(),
                WavEncoding::ALaw | WavEncoding::Linear16 | WavEncoding::MuLaw | _ => {
                    self.format.encoding.to_string()
                }
            },
            Input::Raw { .. } => self.format.encoding.to_string(),
        }
    }

    /// `WAV` or `raw`.
    pub(super) const fn container(&self) -> &'static str {
        match &self.input {
            Input::Raw { .. } => "raw",
            Input::Wav { .. } => "WAV",
        }
    }

    /// Channels in the file.
    pub(super) const fn channels(&self) -> u16 {
        match &self.input {
            Input::Raw { .. } => 1,
            Input::Wav { reader, .. } => reader.format().channels,
        }
    }

    /// How the header's length turned out to be wrong, once the sound is over.
    pub(super) fn broken_promise(&self) -> Option<BrokenPromise> {
        let Input::Wav { reader, .. } = &self.input else {
            return None;
        };
        let promised = reader.format().duration_of(reader.promised_frames()?);
        match reader.missing_bytes() {
            0 => reader.goes_on().then_some(BrokenPromise::TooMuch { promised }),
            bytes => Some(BrokenPromise::TooLittle { promised, bytes }),
        }
    }
}

/// How a file differs from its header.
#[derive(Debug, Clone, Copy)]
pub(super) enum BrokenPromise {
    /// It ends `bytes` before.
    TooLittle { promised: Duration, bytes: u64 },
    /// Something that is no chunk follows.
    TooMuch { promised: Duration },
}

/// Why sound cannot be read, measured or converted.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum AudioError {
    /// Nothing to hear, not even silence.
    #[error("there is not a single sample in it, expected some sound; record it again")]
    Empty,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no WAV file that can be used, or none can be made of it.
    #[error(transparent)]
    Wav(#[from] WavError),
}

/// Reads until `held` is full or the input ends.
fn fill(bytes: &mut impl Read, held: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < held.len() {
        match bytes.read(&mut held[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// 200 ms: ten frames of 20 ms at every rate.
const fn block_samples(rate: SampleRate) -> usize {
    rate.hz() as usize / 50 * 10
}
