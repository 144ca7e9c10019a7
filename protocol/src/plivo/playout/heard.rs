//! How much was heard, as an interval: in time for whoever asks, in bytes inside the model.

use std::time::Duration;

use voxline_audio::AudioFormat;

/// How much the caller has heard, with its error bound.
///
/// The truth lies between `at_least`, which Plivo acknowledged, and `at_most`, which is all that real
/// time allowed since it was handed over. Where both agree, nothing is left to guess.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// Acknowledged by Plivo.
    pub at_least: Duration,
    /// The best estimate: `at_most`, less the delay the last acknowledgements showed.
    pub played: Duration,
    /// No more can have been played by now.
    pub at_most: Duration,
}

impl Heard {
    /// The width of the interval.
    #[must_use]
    pub fn uncertainty(&self) -> Duration {
        self.at_most.saturating_sub(self.at_least)
    }
}

/// Byte counts behind a [`Heard`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) low: u64,
    pub(super) estimate: u64,
    pub(super) high: u64,
}

impl Span {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            low: self.low + other.low,
            estimate: self.estimate + other.estimate,
            high: self.high + other.high,
        }
    }

    pub(super) fn heard(self, format: AudioFormat) -> Heard {
        let duration = |bytes: u64| format.duration_of(bytes as usize);
        Heard { at_least: duration(self.low), played: duration(self.estimate), at_most: duration(self.high) }
    }
}
