//! Frames: fixed-duration runs of samples.

use core::time::Duration;

use crate::{Encoding, SampleRate};

/// How long one frame lasts.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameDuration {
    /// 10 ms: what most detectors and noise reducers hop by.
    Ms10,
    /// 20 ms: what telephones and Plivo send.
    Ms20,
    /// 40 ms.
    Ms40,
    /// 60 ms: fewer messages where latency allows.
    Ms60,
}

impl FrameDuration {
    /// The duration in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u32 {
        match self {
            Self::Ms10 => 10,
            Self::Ms20 => 20,
            Self::Ms40 => 40,
            Self::Ms60 => 60,
        }
    }
}

/// Size of every frame in one stream: rate × duration, always a whole number of samples.
///
/// ```
/// use voxline_audio::{Encoding, FrameDuration, FrameSpec, SampleRate};
///
/// assert_eq!(FrameSpec::PHONE.samples(), 160);
/// assert_eq!(FrameSpec::PHONE.bytes(Encoding::Linear16Le), 320);
/// // 22.05 kHz × 10 ms is 220.5 samples, which no frame can have.
/// assert_eq!(FrameSpec::new(SampleRate::Hz22050, FrameDuration::Ms10), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameSpec {
    rate: SampleRate,
    duration: FrameDuration,
}

impl FrameSpec {
    /// 8 kHz, 20 ms: the telephone.
    pub const PHONE: Self = Self { rate: SampleRate::Hz8000, duration: FrameDuration::Ms20 };

    /// `None` where the product is not a whole number of samples (22.05 kHz × 10 ms).
    #[must_use]
    pub const fn new(rate: SampleRate, duration: FrameDuration) -> Option<Self> {
        if (rate.hz() * duration.millis()).is_multiple_of(1_000) {
            Some(Self { rate, duration })
        } else {
            None
        }
    }

    /// Samples a second.
    #[must_use]
    pub const fn rate(self) -> SampleRate {
        self.rate
    }

    /// Samples in one frame.
    #[must_use]
    pub const fn samples(self) -> usize {
        (self.rate.hz() * self.duration.millis() / 1_000) as usize
    }

    /// Bytes one frame takes in `encoding`.
    #[must_use]
    pub const fn bytes(self, encoding: Encoding) -> usize {
        self.samples() * encoding.bytes_per_sample()
    }

    /// How long one frame lasts.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.duration.millis() as u64)
    }
}
