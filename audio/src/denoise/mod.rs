//! Noise reduction.

use core::fmt;

use crate::SampleRate;

mod light;
#[cfg(feature = "denoise")]
mod strong;

pub use light::LightDenoiser;
#[cfg(feature = "denoise")]
pub use strong::StrongDenoiser;

/// Takes noise out of a voice, in place, at the rate it was made for.
pub trait Denoise: fmt::Debug + Send {
    /// Cleans a run of any length; what leaves is [`latency`](Self::latency) samples late.
    fn process(&mut self, samples: &mut [f32]);

    /// By how many samples the output is late.
    fn latency(&self) -> usize;

    /// Forgets the noise and the samples still inside.
    fn reset(&mut self);
}

/// How much noise to take out.
///
/// Off is the default before speech recognisers, which were trained on noise and dislike what reducers leave.
///
/// ```
/// use voxline_audio::{NoiseReduction, SampleRate};
///
/// let mut reducer = NoiseReduction::Off.reducer(SampleRate::Hz8000);
/// let mut frame = [0.1, -0.2, 0.3];
/// reducer.process(&mut frame);
/// assert_eq!((frame, reducer.latency()), ([0.1, -0.2, 0.3], 0));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum NoiseReduction {
    /// None: samples pass as they are, without delay.
    #[default]
    Off,
    /// Steady noise by up to 12 dB, with 16 to 23 ms of delay: [`LightDenoiser`].
    Light,
    /// Steady and unsteady noise by up to 30 dB, with some 25 ms of delay and six times the work:
    /// [`StrongDenoiser`].
    #[cfg(feature = "denoise")]
    Strong,
}

impl NoiseReduction {
    /// What does it, for sound at `rate`.
    #[must_use]
    pub fn reducer(self, rate: SampleRate) -> Box<dyn Denoise> {
        match self {
            Self::Off => Box::new(Bypass),
            Self::Light => Box::new(LightDenoiser::new(rate)),
            #[cfg(feature = "denoise")]
            Self::Strong => Box::new(StrongDenoiser::new(rate)),
        }
    }
}

/// Noise reduction that is off.
#[derive(Debug)]
struct Bypass;

impl Denoise for Bypass {
    fn process(&mut self, _samples: &mut [f32]) {}

    fn latency(&self) -> usize {
        0
    }

    fn reset(&mut self) {}
}
