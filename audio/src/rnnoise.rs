//! RNNoise (J.-M. Valin, 2018), by way of the nnnoiseless crate: what one step of it hears.

use core::fmt;

use nnnoiseless::DenoiseState;

use crate::tame::tame;
use crate::{Preset, Resampler, SampleRate};

/// The network behind our resampler, for sound at any rate.
pub(crate) struct Rnnoise {
    state: Box<DenoiseState<'static>>,
    up: Resampler,
    /// Scratch for up to 10 ms at 48 kHz, and the sample more where the ratio is not whole.
    upsampled: Vec<f32>,
    /// The step being filled.
    step: Vec<f32>,
    filled: usize,
    cleaned: Vec<f32>,
}

impl Rnnoise {
    pub(crate) fn new(rate: SampleRate, preset: Preset) -> Self {
        // The crate plans its transforms and makes their scratch at the first use on each thread: here, for this one.
        DenoiseState::new().process_frame(&mut [0.0; STEP], &[0.0; STEP]);
        Self {
            state: DenoiseState::new(),
            up: Resampler::with_preset(rate, SampleRate::Hz48000, preset),
            upsampled: vec![0.0; 2 * STEP],
            step: vec![0.0; STEP],
            filled: 0,
            cleaned: vec![0.0; STEP],
        }
    }

    /// Takes up to 10 ms, and for each step that became full calls `on_step` with the step before it, cleaned, at
    /// 48 kHz, and with the probability of a voice.
    pub(crate) fn process(&mut self, samples: &[f32], mut on_step: impl FnMut(&[f32], f32)) {
        let length = self.up.output_len(samples.len());
        self.up.process(samples, &mut self.upsampled[..length]);
        for sample in &self.upsampled[..length] {
            self.step[self.filled] = tame(*sample).clamp(-1.0, 1.0) * FULL_SCALE;
            self.filled += 1;
            if self.filled == STEP {
                self.filled = 0;
                let voice = self.state.process_frame(&mut self.cleaned, &self.step);
                for sample in &mut self.cleaned {
                    *sample /= FULL_SCALE;
                }
                on_step(&self.cleaned, voice);
            }
        }
    }

    pub(crate) fn reset(&mut self) {
        self.state = DenoiseState::new();
        self.up.reset();
        self.filled = 0;
    }

    /// Samples at 48 kHz by which a step is late: our resampler, the step that fills, and the step it looks ahead.
    #[cfg(feature = "denoise")]
    pub(crate) fn latency(&self) -> usize {
        self.up.latency() + 2 * STEP
    }
}

impl fmt::Debug for Rnnoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rnnoise").field("up", &self.up).field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// Samples of one step: 10 ms at 48 kHz.
pub(crate) const STEP: usize = DenoiseState::FRAME_SIZE;

/// The network was trained on samples in the range of 16 bits.
const FULL_SCALE: f32 = 32_768.0;
