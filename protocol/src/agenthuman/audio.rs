//! What the avatar can be given to say: raw 16-bit mono samples at 16 or 48 kHz, and nothing else.

use std::time::Duration;

use voxline_audio::{AudioFormat, Container, SampleRate};

use super::{Refusal, VendorError};

/// The rate of the speech handed over, declared on every message.
///
/// A wrong declaration cannot be noticed by the service: 48 kHz samples declared as 16 kHz play
/// three times too slowly. So there are exactly these two, and the type says which.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InputRate {
    /// 16 kHz: what the service works in, and a third of the bandwidth.
    #[default]
    Hz16000,
    /// 48 kHz.
    Hz48000,
}

impl InputRate {
    /// The rate as an audio word.
    #[must_use]
    pub const fn sample_rate(self) -> SampleRate {
        match self {
            Self::Hz16000 => SampleRate::Hz16000,
            Self::Hz48000 => SampleRate::Hz48000,
        }
    }

    /// The format of the bytes at this rate.
    #[must_use]
    pub const fn format(self) -> AudioFormat {
        AudioFormat::linear16(self.sample_rate())
    }

    /// How many samples the service must confirm for `samples` of ours: it counts at 16 kHz.
    #[must_use]
    pub const fn confirmed_samples(self, samples: u64) -> u64 {
        let hz = self.sample_rate().hz() as u64;
        (samples * 16_000 + hz / 2) / hz
    }

    /// Whether `confirmed` is what the conversion to 16 kHz can give for `samples` of ours: exactly
    /// that at 16 kHz, within 1 % or two samples where the service resamples.
    #[must_use]
    pub const fn is_plausible(self, samples: u64, confirmed: u64) -> bool {
        let expected = self.confirmed_samples(samples);
        let slack = match self {
            Self::Hz16000 => 0,
            Self::Hz48000 => {
                let percent = expected / 100;
                if percent > 2 { percent } else { 2 }
            }
        };
        expected.abs_diff(confirmed) <= slack
    }

    pub(super) const fn duration(self, samples: u64) -> Duration {
        self.sample_rate().duration_of(samples)
    }

    pub(super) const fn samples(self, duration: Duration) -> u64 {
        self.sample_rate().samples_in(duration)
    }

    /// Checks how a source describes its audio, a WAV header for example.
    ///
    /// ```
    /// use voxline_protocol::agenthuman::{InputRate, PcmSpec};
    ///
    /// assert_eq!(InputRate::for_source(PcmSpec::new(48_000, 1, 16))?, InputRate::Hz48000);
    /// assert!(InputRate::for_source(PcmSpec::new(44_100, 1, 16)).is_err());
    /// assert!(InputRate::for_source(PcmSpec::new(16_000, 2, 16)).is_err());
    /// # Ok::<(), voxline_protocol::agenthuman::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// Stereo, another depth, floating point, or another rate: the service would take it for noise
    /// or answer `Failed to process audio`.
    pub fn for_source(spec: PcmSpec) -> Result<Self, Refusal> {
        if spec.channels != 1 {
            let seen = format!("audio with {} channels", spec.channels);
            return Err(refuse(seen, "mix it down to mono first"));
        }
        if spec.is_float || spec.bits_per_sample != 16 {
            let kind = if spec.is_float { "floating-point" } else { "integer" };
            let seen = format!("audio of {}-bit {kind} samples", spec.bits_per_sample);
            return Err(refuse(seen, "convert it to signed 16-bit samples first"));
        }
        match spec.rate_hz {
            16_000 => Ok(Self::Hz16000),
            48_000 => Ok(Self::Hz48000),
            other => Err(refuse(format!("audio at {other} Hz"), "resample it to 16 kHz first")),
        }
    }
}

/// How a source of audio describes itself.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcmSpec {
    /// Samples a second.
    pub rate_hz: u32,
    /// Channels, 1 for mono.
    pub channels: u16,
    /// Bits a sample.
    pub bits_per_sample: u16,
    /// Floating point rather than integers.
    pub is_float: bool,
}

impl PcmSpec {
    /// Integer samples.
    #[must_use]
    pub const fn new(rate_hz: u32, channels: u16, bits_per_sample: u16) -> Self {
        Self { rate_hz, channels, bits_per_sample, is_float: false }
    }

    /// The same, in floating point.
    #[must_use]
    pub const fn float(self) -> Self {
        Self { is_float: true, ..self }
    }
}

/// Checks one run of raw audio as it is handed over; `begins` at the first one of an utterance.
///
/// # Errors
/// It is empty, ends in the middle of a sample, or begins with the header of an audio file or with words, a JSON
/// error for example.
pub fn check_speech(audio: &[u8], begins: bool) -> Result<(), Refusal> {
    if audio.is_empty() {
        return Err(Refusal::new(
            VendorError::NoAudioData,
            "audio of no bytes",
            "give at least one sample, or finish the utterance",
        ));
    }
    let is_sure = |container: &Container| !container.is_words() || is_document(audio);
    if begins && let Some(container) = Container::of(audio).filter(is_sure) {
        let seen = format!("audio that begins like {}", container.name());
        let remedy = if container.is_words() {
            "read it, it may say what is wrong"
        } else if container == Container::Wav {
            "strip the header and give the raw samples alone"
        } else {
            "decode it and give the raw samples"
        };
        return Err(refuse(seen, remedy));
    }
    if !audio.len().is_multiple_of(2) {
        let seen = format!("audio of {} bytes, an odd number", audio.len());
        return Err(refuse(seen, "cut it at whole 16-bit samples"));
    }
    Ok(())
}

/// Whether what reads like words is enough of them: a few samples can be letters and brackets by chance.
fn is_document(audio: &[u8]) -> bool {
    let text = audio.trim_ascii();
    let is_closed = matches!(
        (text.first(), text.last()),
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'<'), Some(b'>'))
    );
    audio.len() >= MANY_LETTERS || (is_closed && audio.len() >= FEWEST_LETTERS)
}

fn refuse(seen: String, remedy: &'static str) -> Refusal {
    Refusal::new(VendorError::AudioProcessingFailed { detail: seen.clone() }, seen, remedy)
}

/// Bytes of a document that is whole, and of one that need not be: 8 ms of speech at 16 kHz.
const FEWEST_LETTERS: usize = 12;
const MANY_LETTERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_the_service_cannot_take_is_refused_with_its_own_error() {
        for (name, spec) in [
            ("stereo", PcmSpec::new(16_000, 2, 16)),
            ("8 bit", PcmSpec::new(16_000, 1, 8)),
            ("24 bit", PcmSpec::new(48_000, 1, 24)),
            ("float", PcmSpec::new(16_000, 1, 32).float()),
            ("44.1 kHz", PcmSpec::new(44_100, 1, 16)),
            ("telephone", PcmSpec::new(8_000, 1, 16)),
        ] {
            let refusal = InputRate::for_source(spec).unwrap_err();
            assert!(matches!(refusal.error, VendorError::AudioProcessingFailed { .. }), "{name}");
        }
        assert_eq!(InputRate::for_source(PcmSpec::new(16_000, 1, 16)), Ok(InputRate::Hz16000));
    }

    #[test]
    fn bytes_that_are_no_samples_are_refused() {
        assert_eq!(check_speech(&[], true).unwrap_err().error, VendorError::NoAudioData);
        for (audio, seen) in [
            (&b"RIFF\0\0\0\0WAVE"[..], "a WAV file"),
            (b"OggS", "an Ogg file"),
            (b"ID3\x04\0\0", "an MP3 stream"),
            (b"{\"error\":\"quota exceeded\"}", "a JSON document"),
            (&[0; 641], "641 bytes"),
        ] {
            let refusal = check_speech(audio, true).unwrap_err();
            assert!(matches!(refusal.error, VendorError::AudioProcessingFailed { .. }), "{seen}");
            assert!(refusal.to_string().contains(seen), "{refusal} does not say {seen}");
        }
        // A few samples may happen to be letters; a page of them does not.
        assert_eq!(check_speech(b"{\"", true), Ok(()));
        assert_eq!(check_speech(b"Hello, how are you? ", true), Ok(()));
        assert!(check_speech("Too many requests. ".repeat(20).as_bytes(), true).is_err());
        // In the middle of an utterance the four letters are a sound like any other.
        assert_eq!(check_speech(b"RIFF", false), Ok(()));
    }

    #[test]
    fn confirmations_are_counted_at_16_khz() {
        assert_eq!(InputRate::Hz48000.confirmed_samples(240_000), 80_000);
        assert!(InputRate::Hz48000.is_plausible(240_000, 80_500));
        assert!(!InputRate::Hz48000.is_plausible(240_000, 240_000));
        assert!(InputRate::Hz16000.is_plausible(80_000, 80_000));
        assert!(!InputRate::Hz16000.is_plausible(80_000, 80_001));
    }
}
