//! Noise taken out by a small recurrent network.

use core::fmt;
use std::collections::VecDeque;

use nnnoiseless::DenoiseState;

use super::Denoise;
use crate::tame::tame;
use crate::{Resampler, SampleRate};

/// RNNoise (J.-M. Valin, 2018) by way of the nnnoiseless crate, at any rate by our resamplers.
///
/// It silences pauses and unsteady noise that [`LightDenoiser`](super::LightDenoiser) leaves, and bends clean speech
/// more: for people's ears rather than for recognisers. The network works at 48 kHz in steps of 10 ms.
///
/// It has to learn what is noise: steady hiss of -40 dBFS is gone within three seconds on a telephone, and, the more
/// of the band above 16 kHz it fills, after up to eight at 44.1 and 48 kHz. Louder hiss without a voice takes longer.
///
/// It is the one kernel here that allocates while it works: the transforms of that crate take their scratch from the
/// heap, a few times in each step.
pub struct StrongDenoiser {
    network: Box<DenoiseState<'static>>,
    up: Resampler,
    down: Resampler,
    /// Samples at 48 kHz on their way in.
    wide: Vec<f32>,
    filled: usize,
    cleaned: Vec<f32>,
    /// Scratch for one step at either rate.
    upsampled: Vec<f32>,
    downsampled: Vec<f32>,
    /// Samples on their way out; never empty when one is due.
    ready: VecDeque<f32>,
    step: usize,
}

impl StrongDenoiser {
    /// A reducer for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let step = rate.hz() as usize / 100;
        let mut made = Self {
            network: DenoiseState::new(),
            up: Resampler::new(rate, SampleRate::Hz48000),
            down: Resampler::new(SampleRate::Hz48000, rate),
            wide: vec![0.0; DenoiseState::FRAME_SIZE],
            filled: 0,
            cleaned: vec![0.0; DenoiseState::FRAME_SIZE],
            upsampled: vec![0.0; 2 * DenoiseState::FRAME_SIZE],
            downsampled: vec![0.0; 2 * step + 2],
            ready: VecDeque::with_capacity(4 * step + 8),
            step,
        };
        made.fill();
        made
    }

    /// Samples that wait before the first step is full: one step, and one sample where the ratio is not whole.
    fn fill(&mut self) {
        self.ready.clear();
        self.ready.resize(self.step + 2, 0.0);
    }

    /// One step through the network and back to the caller's rate.
    fn turn(&mut self) {
        self.network.process_frame(&mut self.cleaned, &self.wide);
        for sample in &mut self.cleaned {
            *sample /= FULL_SCALE;
        }
        let length = self.down.output_len(self.cleaned.len());
        let out = &mut self.downsampled[..length];
        self.down.process(&self.cleaned, out);
        self.ready.extend(out.iter());
        self.filled = 0;
    }
}

impl Denoise for StrongDenoiser {
    fn process(&mut self, samples: &mut [f32]) {
        for run in samples.chunks_mut(self.step) {
            for sample in run.iter_mut() {
                *sample = tame(*sample).clamp(-1.0, 1.0);
            }
            let length = self.up.output_len(run.len());
            self.up.process(run, &mut self.upsampled[..length]);
            for n in 0..length {
                self.wide[self.filled] = self.upsampled[n] * FULL_SCALE;
                self.filled += 1;
                if self.filled == self.wide.len() {
                    self.turn();
                }
            }
            for sample in run {
                *sample = self.ready.pop_front().unwrap_or(0.0);
            }
        }
    }

    fn latency(&self) -> usize {
        // The resamplers, our step, and the step the network looks ahead.
        let up = self.up.latency() * self.step / DenoiseState::FRAME_SIZE;
        up + self.down.latency() + 2 * self.step + 2
    }

    fn reset(&mut self) {
        self.network = DenoiseState::new();
        self.up.reset();
        self.down.reset();
        self.filled = 0;
        self.fill();
    }
}

impl fmt::Debug for StrongDenoiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrongDenoiser").field("step", &self.step).finish_non_exhaustive()
    }
}

/// The network was trained on samples in the range of 16 bits.
const FULL_SCALE: f32 = 32_768.0;
