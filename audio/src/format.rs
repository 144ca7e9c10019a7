//! Sample rates, encodings, and the two together.

use core::fmt;
use core::time::Duration;

use crate::{g711, pcm};

/// Samples a second, among those voice systems use.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// 8 kHz: the telephone.
    Hz8000,
    /// 16 kHz: most speech recognisers.
    Hz16000,
    /// 22.05 kHz: older speech engines.
    Hz22050,
    /// 24 kHz: most speech synthesisers.
    Hz24000,
    /// 32 kHz: wideband conferencing.
    Hz32000,
    /// 44.1 kHz: compact disc.
    Hz44100,
    /// 48 kHz: WebRTC and studio recordings.
    Hz48000,
}

impl SampleRate {
    /// Every rate, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Hz8000,
        Self::Hz16000,
        Self::Hz22050,
        Self::Hz24000,
        Self::Hz32000,
        Self::Hz44100,
        Self::Hz48000,
    ];

    /// The rate in hertz.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz22050 => 22_050,
            Self::Hz24000 => 24_000,
            Self::Hz32000 => 32_000,
            Self::Hz44100 => 44_100,
            Self::Hz48000 => 48_000,
        }
    }

    /// How long `samples` samples last, rounded down to a nanosecond.
    #[must_use]
    pub const fn duration_of(self, samples: u64) -> Duration {
        let hz = self.hz() as u64;
        let nanos = (samples % hz) * 1_000_000_000 / hz;
        Duration::new(samples / hz, nanos as u32)
    }

    /// How many whole samples fit in `duration`.
    ///
    /// `duration_of` rounds down, so this rounds to the nearest: the two are inverse on whole samples. More than
    /// fit in a `u64` are as many as do.
    #[must_use]
    pub const fn samples_in(self, duration: Duration) -> u64 {
        let hz = self.hz() as u64;
        let rest = (duration.subsec_nanos() as u64 * hz + 500_000_000) / 1_000_000_000;
        duration.as_secs().saturating_mul(hz).saturating_add(rest)
    }
}

impl TryFrom<u32> for SampleRate {
    type Error = UnsupportedRate;

    fn try_from(hz: u32) -> Result<Self, UnsupportedRate> {
        Self::ALL.into_iter().find(|rate| rate.hz() == hz).ok_or(UnsupportedRate { hz })
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.hz())
    }
}

/// How one mono sample is written on the wire.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// ITU-T G.711 A-law, one byte.
    ALaw,
    /// Signed 16-bit linear, little-endian.
    Linear16Le,
    /// ITU-T G.711 µ-law, one byte.
    MuLaw,
}

impl Encoding {
    /// Bytes one sample takes.
    #[must_use]
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::ALaw | Self::MuLaw => 1,
            Self::Linear16Le => 2,
        }
    }

    /// The byte that, repeated, is silence.
    #[must_use]
    pub const fn silence_byte(self) -> u8 {
        match self {
            Self::ALaw => 0xD5,
            Self::Linear16Le => 0x00,
            Self::MuLaw => 0xFF,
        }
    }

    /// Decodes wire bytes.
    ///
    /// # Panics
    /// Panics unless `bytes` holds exactly the samples of `samples`.
    pub fn decode(self, bytes: &[u8], samples: &mut [i16]) {
        match self {
            Self::ALaw => g711::decode_alaw(bytes, samples),
            Self::Linear16Le => pcm::le_bytes_to_i16(bytes, samples),
            Self::MuLaw => g711::decode_mulaw(bytes, samples),
        }
    }

    /// Encodes wire bytes.
    ///
    /// # Panics
    /// Panics unless `bytes` has exactly the room the samples take.
    pub fn encode(self, samples: &[i16], bytes: &mut [u8]) {
        match self {
            Self::ALaw => g711::encode_alaw(samples, bytes),
            Self::Linear16Le => pcm::i16_to_le_bytes(samples, bytes),
            Self::MuLaw => g711::encode_mulaw(samples, bytes),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ALaw => "A-law",
            Self::Linear16Le => "16-bit linear",
            Self::MuLaw => "µ-law",
        })
    }
}

/// An encoding at a rate: what a run of mono bytes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a pair of words; a third would change every format there is")]
pub struct AudioFormat {
    /// How a sample is written.
    pub encoding: Encoding,
    /// Samples a second.
    pub rate: SampleRate,
}

impl AudioFormat {
    /// µ-law at 8 kHz: what a telephone network carries.
    pub const PHONE: Self = Self { encoding: Encoding::MuLaw, rate: SampleRate::Hz8000 };

    /// A format from its two words.
    #[must_use]
    pub const fn new(encoding: Encoding, rate: SampleRate) -> Self {
        Self { encoding, rate }
    }

    /// 16-bit linear at `rate`.
    #[must_use]
    pub const fn linear16(rate: SampleRate) -> Self {
        Self { encoding: Encoding::Linear16Le, rate }
    }

    /// Bytes one second takes.
    #[must_use]
    pub const fn bytes_per_second(self) -> usize {
        self.rate.hz() as usize * self.encoding.bytes_per_sample()
    }

    /// How long `bytes` bytes last; a partial sample at the end is ignored.
    #[must_use]
    pub const fn duration_of(self, bytes: usize) -> Duration {
        self.rate.duration_of((bytes / self.encoding.bytes_per_sample()) as u64)
    }

    /// Bytes that last `duration`, a whole number of samples; as many as fit in a `usize`, if they do not.
    #[must_use]
    pub const fn bytes_in(self, duration: Duration) -> usize {
        let width = self.encoding.bytes_per_sample();
        let (samples, most) = (self.rate.samples_in(duration), usize::MAX / width);
        if samples > most as u64 { most * width } else { samples as usize * width }
    }
}

impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.encoding, self.rate)
    }
}

/// A rate outside [`SampleRate::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedRate {
    /// The rate that was asked for.
    pub hz: u32,
}

impl fmt::Display for UnsupportedRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sample rate {} Hz is not supported; use 8000, 16000, 22050, 24000, 32000, 44100 or 48000",
            self.hz
        )
    }
}

impl core::error::Error for UnsupportedRate {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_samples_are_inverse_on_whole_samples() {
        for rate in SampleRate::ALL {
            for samples in [0, 1, 7, 160, 441, 48_001, 86_400 * 48_000] {
                assert_eq!(rate.samples_in(rate.duration_of(samples)), samples, "{rate} {samples}");
            }
        }
    }

    #[test]
    fn every_rate_is_found_by_its_hertz_and_no_other_is() {
        for rate in SampleRate::ALL {
            assert_eq!(SampleRate::try_from(rate.hz()), Ok(rate));
        }
        assert_eq!(SampleRate::try_from(11_025), Err(UnsupportedRate { hz: 11_025 }));
    }
}
