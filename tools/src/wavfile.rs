//! WAV files: what people give us to say, and the calls we record.

mod writer;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use hound::{SampleFormat, WavReader, WavSpec};
use thiserror::Error;
use voxline_audio::{Resampler, SampleRate, pcm};

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
    /// Reads a file: 8 to 48 kHz, 16-bit or 32-bit float, mono or stereo.
    ///
    /// # Errors
    ///
    /// [`WavError`] says what was found, what is expected, and what to do about it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WavError> {
        let path = path.as_ref();
        let of_file = |problem| WavError { file: path.display().to_string(), problem };
        let file = File::open(path).map_err(|error| of_file(WavProblem::Io(error)))?;
        Self::parse(BufReader::new(file)).map_err(of_file)
    }

    /// Reads what is, byte for byte, a WAV file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), without the name of a file.
    pub fn parse(bytes: impl Read) -> Result<Self, WavProblem> {
        let mut reader = WavReader::new(bytes).map_err(problem_of)?;
        let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
        let rate = SampleRate::try_from(sample_rate).map_err(|_| WavProblem::Rate { hz: sample_rate })?;
        if !(1..=2).contains(&channels) {
            return Err(WavProblem::Channels { channels });
        }
        let promised = reader.duration();
        let values: Vec<f32> = match (sample_format, bits_per_sample) {
            (SampleFormat::Int, 16) => {
                whole(reader.samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32_768.0)))
            }
            (SampleFormat::Float, 32) => whole(reader.samples::<f32>().map(|s| s.map(finite))),
            (SampleFormat::Int, bits) => return Err(WavProblem::Samples { bits, kind: "integer" }),
            (SampleFormat::Float, bits) => return Err(WavProblem::Samples { bits, kind: "float" }),
        }
        .map_err(|(error, read)| {
            if let hound::Error::IoError(error) = error
                && error.raw_os_error().is_some()
            {
                return WavProblem::Io(error);
            }
            WavProblem::Truncated {
                promised: rate.duration_of(promised.into()),
                found: rate.duration_of(read as u64 / u64::from(channels)),
            }
        })?;
        if values.is_empty() {
            return Err(WavProblem::Empty);
        }
        let mut samples = values;
        if channels == 2 {
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
    /// Compressed or otherwise not linear.
    #[error(
        "a WAV file with compressed samples, expected 16-bit or float; convert it with `sox IN -e signed -b 16 OUT`"
    )]
    Compressed,
    /// A header and nothing after it.
    #[error("a WAV file without a single sample, expected some speech; record it again")]
    Empty,
    /// The system refused.
    #[error("{0}")]
    Io(io::Error),
    /// Another kind of file.
    #[error("not a WAV file ({detail}), expected RIFF/WAVE; convert it with `sox IN OUT.wav`")]
    NotWav {
        /// Where the reader stopped.
        detail: &'static str,
    },
    /// A rate outside [`SampleRate::ALL`].
    #[error(
        "has {hz} samples a second, expected 8000, 16000, 22050, 24000, 32000, 44100 or 48000; convert it with `sox IN -r 16000 OUT`"
    )]
    Rate {
        /// Rate found.
        hz: u32,
    },
    /// Another sample type.
    #[error(
        "has {bits}-bit {kind} samples, expected 16-bit integer or 32-bit float; convert it with `sox IN -e signed -b 16 OUT`"
    )]
    Samples {
        /// Bits found.
        bits: u16,
        /// Integer or float.
        kind: &'static str,
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
}

/// All values, or the error and how many came before it.
fn whole(values: impl Iterator<Item = Result<f32, hound::Error>>) -> Result<Vec<f32>, (hound::Error, usize)> {
    let mut all = Vec::new();
    for value in values {
        match value {
            Ok(value) => all.push(value),
            Err(error) => return Err((error, all.len())),
        }
    }
    Ok(all)
}

/// A float file may hold anything; what is no number is silence.
fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

fn problem_of(error: hound::Error) -> WavProblem {
    match error {
        hound::Error::IoError(error) if error.raw_os_error().is_some() => WavProblem::Io(error),
        hound::Error::IoError(_) => WavProblem::NotWav { detail: "it ends within its header" },
        hound::Error::FormatError(detail) => WavProblem::NotWav { detail },
        hound::Error::Unsupported | hound::Error::TooWide | hound::Error::InvalidSampleFormat => {
            WavProblem::Compressed
        }
        hound::Error::UnfinishedSample => WavProblem::NotWav { detail: "half a sample at its end" },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use hound::WavWriter;

    use super::*;

    #[test]
    fn every_kind_of_file_we_promise_to_read_sounds_the_same() {
        for rate in SampleRate::ALL {
            for channels in [1, 2] {
                for format in [SampleFormat::Int, SampleFormat::Float] {
                    let wav = Wav::parse(Cursor::new(file(rate.hz(), channels, format, 16, 0.5)))
                        .unwrap_or_else(|error| panic!("{rate}, {channels} channels, {format:?}: {error}"));
                    assert_eq!(wav.duration(), Duration::from_millis(500), "{rate}");
                    let sound = wav.to_rate(SampleRate::Hz16000);
                    assert_eq!(sound.len(), 8_000, "{rate}");
                    for (at, sample) in sound.iter().enumerate().skip(200).take(7_600) {
                        let expected = tone(at as f64 / 16_000.0) * 32_768.0;
                        assert!(
                            (f64::from(*sample) - expected).abs() < 40.0,
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
        let mut mulaw = good.clone();
        mulaw[20] = 7;
        for (name, bytes, words) in [
            ("an MP3", b"ID3\x04 and then something else entirely, quite long".to_vec(), "not a WAV file"),
            ("nothing", Vec::new(), "not a WAV file"),
            ("half a header", good[..20].to_vec(), "not a WAV file"),
            ("no samples", file(16_000, 1, SampleFormat::Int, 16, 0.0), "without a single sample"),
            ("cut in half", good[..good.len() / 2].to_vec(), "ends after 249.3125ms of the 500ms"),
            ("an odd rate", file(11_025, 1, SampleFormat::Int, 16, 0.5), "has 11025 samples a second"),
            ("24-bit", file(16_000, 1, SampleFormat::Int, 24, 0.5), "has 24-bit integer samples"),
            ("5.1", file(48_000, 6, SampleFormat::Int, 16, 0.5), "has 6 channels"),
            ("µ-law", mulaw, "compressed"),
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
        let good = file(16_000, 2, SampleFormat::Float, 16, 0.01);
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
        let mut reader = WavReader::open(&path).unwrap();
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [1, 3, 2, 0]);
        fs::remove_dir_all(&directory).unwrap();

        let error = CallWriter::create(&path, SampleRate::Hz8000).unwrap_err().to_string();
        assert!(error.contains("call.wav: No such file"), "{error}");
    }

    fn tone(seconds: f64) -> f64 {
        0.25 * (std::f64::consts::TAU * 440.0 * seconds).sin()
    }

    fn file(hz: u32, channels: u16, sample_format: SampleFormat, bits: u16, seconds: f64) -> Vec<u8> {
        let bits_per_sample = if sample_format == SampleFormat::Float { 32 } else { bits };
        let spec = WavSpec { channels, sample_rate: hz, bits_per_sample, sample_format };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        for at in 0..(f64::from(hz) * seconds) as u32 * u32::from(channels) {
            let value = tone(f64::from(at / u32::from(channels)) / f64::from(hz));
            match sample_format {
                SampleFormat::Int => writer.write_sample((value * 32_768.0) as i32).unwrap(),
                SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }
}
