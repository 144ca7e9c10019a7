//! WAV files: what people give us to say, and the calls we record.

mod writer;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use voxline_audio::{Resampler, SampleRate, WavReader, pcm};

pub use writer::{CallWriter, SpeechWriter};

/// The sound of a WAV file, mixed down to one channel, at the rate of the file.
///
/// ```
/// use voxline::wavfile::Wav;
/// use voxline_audio::SampleRate;
///
/// let file = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/friday.wav");
/// let wav = Wav::read(file)?;
/// assert_eq!(wav.rate(), SampleRate::Hz16000);
/// assert_eq!(wav.to_rate(SampleRate::Hz8000).len(), wav.to_rate(SampleRate::Hz24000).len().div_ceil(3));
/// # Ok::<(), voxline::wavfile::WavError>(())
/// ```
#[derive(Clone)]
pub struct Wav {
    rate: SampleRate,
    samples: Vec<f32>,
}

impl Wav {
    /// Reads a file: 8 to 48 kHz; integers of 8, 16, 24 or 32 bits, 32-bit float, µ-law or A-law; mono or stereo.
    ///
    /// # Errors
    ///
    /// [`WavError`] says what was found, what is expected, and what to do about it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WavError> {
        let path = path.as_ref();
        let of_file = |problem| WavError { file: path.display().to_string(), problem };
        let file = File::open(path).map_err(|error| of_file(WavProblem::Io(error)))?;
        Self::parse(file).map_err(of_file)
    }

    /// Reads what is, byte for byte, a WAV file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), without the name of a file.
    pub fn parse(bytes: impl Read) -> Result<Self, WavProblem> {
        let mut reader = WavReader::new(bytes)?;
        let format = reader.format();
        let rate = SampleRate::try_from(format.hz).map_err(|_| WavProblem::Rate { hz: format.hz })?;
        let (mut samples, mut block) = (Vec::new(), vec![0.0; BLOCK_SAMPLES]);
        loop {
            let read = reader.read(&mut block)?;
            if read == 0 {
                break;
            }
            samples.extend(block[..read].iter().map(|sample| sample.clamp(-1.0, 1.0)));
        }
        if let Some(promised) = reader.promised_frames().filter(|_| reader.missing_bytes() > 0) {
            return Err(WavProblem::Truncated {
                promised: format.duration_of(promised),
                found: format.duration_of(reader.frames_read()),
            });
        }
        if samples.is_empty() {
            return Err(WavProblem::Empty);
        }
        if format.channels == 2 {
            samples = samples.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
        }
        Ok(Self { rate, samples })
    }

    /// The rate of the file.
    #[must_use]
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// How long it sounds.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.rate.duration_of(self.samples.len() as u64)
    }

    /// The samples at `rate`, without the delay of the resampler: the first is the first of the file.
    #[must_use]
    pub fn to_rate(&self, rate: SampleRate) -> Vec<i16> {
        let mut resampler = Resampler::new(self.rate, rate);
        let mut sound = vec![0.0; resampler.output_len(self.samples.len())];
        resampler.process(&self.samples, &mut sound);
        let mut rest = vec![0.0; resampler.latency()];
        resampler.flush(&mut rest);
        sound.extend(rest);
        let mut out = vec![0; sound.len() - resampler.latency()];
        pcm::f32_to_i16(&sound[resampler.latency()..], &mut out);
        out
    }
}

impl fmt::Debug for Wav {
    /// Without the samples, of which there may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wav")
            .field("rate", &self.rate)
            .field("duration", &self.duration())
            .finish_non_exhaustive()
    }
}

/// What is wrong with a file.
#[non_exhaustive]
#[derive(Debug, Error)]
#[error("{file}: {problem}")]
pub struct WavError {
    /// Its name as it was given.
    pub file: String,
    /// What was found.
    pub problem: WavProblem,
}

/// What was found, what is expected, what to do.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum WavProblem {
    /// Neither mono nor stereo.
    #[error("has {channels} channels, expected one or two; mix it down with `sox IN OUT channels 1`")]
    Channels {
        /// Channels found.
        channels: u16,
    },
    /// A header and nothing after it.
    #[error("a WAV file without a single sample, expected some speech; record it again")]
    Empty,
    /// The system refused.
    #[error("{0}")]
    Io(io::Error),
    /// A rate outside [`SampleRate::ALL`].
    #[error(
        "has {hz} samples a second, expected 8000, 16000, 22050, 24000, 32000, 44100 or 48000; convert it with `sox IN -r 16000 OUT`"
    )]
    Rate {
        /// Rate found.
        hz: u32,
    },
    /// Nothing but silence.
    #[error("has no sound louder than -65 dBFS, expected speech; record it again")]
    Silent,
    /// The file ends before its header says.
    #[error(
        "ends after {found:?} of the {promised:?} its header promises; copy it again, or mend it with `sox --ignore-length IN OUT`"
    )]
    Truncated {
        /// Length by the header.
        promised: Duration,
        /// Length that is there.
        found: Duration,
    },
    /// Another kind of file, or one whose header is broken.
    #[error("{0}; convert it with `sox IN -e signed -b 16 OUT.wav`")]
    Unreadable(voxline_audio::WavError),
}

impl From<voxline_audio::WavError> for WavProblem {
    fn from(error: voxline_audio::WavError) -> Self {
        use voxline_audio::WavError;
        match error {
            WavError::Channels { channels, .. } => Self::Channels { channels },
            WavError::Io(error) => Self::Io(error),
            WavError::Rate(rate) => Self::Rate { hz: rate.hz },
            broken @ (WavError::Bits { .. }
            | WavError::Codec { .. }
            | WavError::Empty
            | WavError::Inconsistent { .. }
            | WavError::NoHeader { .. }
            | WavError::NotWav { .. }
            | WavError::TooLong { .. }
            | WavError::Truncated { .. }
            | _) => Self::Unreadable(broken),
        }
    }
}

/// Samples read at once, of all channels.
const BLOCK_SAMPLES: usize = 8 * 1_024;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use hound::{SampleFormat, WavSpec, WavWriter};

    use super::*;

    #[test]
    fn every_kind_of_file_we_promise_to_read_sounds_the_same() {
        for rate in SampleRate::ALL {
            for channels in [1, 2] {
                let integers = [8, 16, 24, 32].map(|bits| (SampleFormat::Int, bits));
                for (format, bits) in integers.into_iter().chain([(SampleFormat::Float, 32)]) {
                    let wav = Wav::parse(Cursor::new(file(rate.hz(), channels, format, bits, 0.5)))
                        .unwrap_or_else(|error| panic!("{rate}, {channels} x {bits} {format:?}: {error}"));
                    let tolerance = if bits == 8 { 300.0 } else { 40.0 };
                    assert_eq!(wav.duration(), Duration::from_millis(500), "{rate}");
                    let sound = wav.to_rate(SampleRate::Hz16000);
                    assert_eq!(sound.len(), 8_000, "{rate}");
                    for (at, sample) in sound.iter().enumerate().skip(200).take(7_600) {
                        let expected = tone(at as f64 / 16_000.0) * 32_768.0;
                        assert!(
                            (f64::from(*sample) - expected).abs() < tolerance,
                            "{rate} at {at}: {sample}, {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_in_one_line_with_a_way_out() {
        let good = file(16_000, 1, SampleFormat::Int, 16, 0.5);
        let mut mp3 = good.clone();
        mp3[20] = 0x55;
        for (name, bytes, words) in [
            ("an MP3", b"ID3\x04 and then something else entirely, quite long".to_vec(), "not a WAV file"),
            ("nothing", Vec::new(), "the file is empty"),
            ("half a header", good[..20].to_vec(), "ends inside its WAV header"),
            ("no samples", file(16_000, 1, SampleFormat::Int, 16, 0.0), "without a single sample"),
            ("cut in half", good[..good.len() / 2].to_vec(), "ends after 249.3125ms of the 500ms"),
            ("an odd rate", file(11_025, 1, SampleFormat::Int, 16, 0.5), "has 11025 samples a second"),
            ("MP3 in a WAV file", mp3, "codec 0x0055 is not supported"),
            ("5.1", file(48_000, 6, SampleFormat::Int, 16, 0.5), "has 6 channels"),
        ] {
            let Err(error) = Wav::parse(Cursor::new(bytes)) else { panic!("{name} was read") };
            let line = error.to_string();
            assert!(line.contains(words) && line.contains("; "), "{name}: {line}");
            assert!(!line.contains('\n'), "{name}: {line}");
        }
        let error = Wav::read("/nowhere/at all.wav").unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/at all.wav: No such file"), "{error}");
    }

    #[test]
    fn any_bytes_are_survived() {
        let good = file(16_000, 2, SampleFormat::Float, 32, 0.01);
        for at in 0..good.len().min(120) {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut bytes = good.clone();
                bytes[at] = value;
                // Reading is refused or not; either way it ends.
                let _ = Wav::parse(Cursor::new(bytes)).map(|wav| wav.duration());
            }
        }
    }

    #[test]
    fn a_recording_has_its_name_only_once_it_is_whole() {
        let directory = std::env::temp_dir().join(format!("voxline-wavfile-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("call.wav");
        let names =
            || fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();

        let mut call = CallWriter::create(&path, SampleRate::Hz8000).unwrap();
        call.write(&[1, 2], &[3, 4]).unwrap();
        assert_eq!(names(), ["call.wav.part"]);
        drop(call);
        assert!(names().is_empty(), "{:?}", names());

        let mut call = CallWriter::create(&path, SampleRate::Hz8000).unwrap();
        call.write(&[1, 2], &[3]).unwrap();
        call.finish().unwrap();
        assert_eq!(names(), ["call.wav"]);
        let mut reader = hound::WavReader::open(&path).unwrap();
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [1, 3, 2, 0]);
        fs::remove_dir_all(&directory).unwrap();

        let error = CallWriter::create(&path, SampleRate::Hz8000).unwrap_err().to_string();
        assert!(error.contains("call.wav: No such file"), "{error}");
    }

    fn tone(seconds: f64) -> f64 {
        0.25 * (std::f64::consts::TAU * 440.0 * seconds).sin()
    }

    fn file(
        hz: u32,
        channels: u16,
        sample_format: SampleFormat,
        bits_per_sample: u16,
        seconds: f64,
    ) -> Vec<u8> {
        let full_scale = 2f64.powi(i32::from(bits_per_sample) - 1);
        let spec = WavSpec { channels, sample_rate: hz, bits_per_sample, sample_format };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        for at in 0..(f64::from(hz) * seconds) as u32 * u32::from(channels) {
            let value = tone(f64::from(at / u32::from(channels)) / f64::from(hz));
            match sample_format {
                SampleFormat::Int => writer.write_sample((value * full_scale) as i32).unwrap(),
                SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }
}
