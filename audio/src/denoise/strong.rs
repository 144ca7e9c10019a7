//! Noise taken out by a small recurrent network.

use std::collections::VecDeque;

use super::Denoise;
use crate::rnnoise::{Rnnoise, STEP};
use crate::{Preset, Resampler, SampleRate};

/// RNNoise (J.-M. Valin, 2018) by way of the nnnoiseless crate, at any rate by our resamplers.
///
/// It silences pauses and unsteady noise that [`LightDenoiser`](super::LightDenoiser) leaves, and bends clean speech
/// more: for people's ears rather than for recognisers. The network works at 48 kHz in steps of 10 ms.
///
/// It has to learn what is noise: steady hiss of -40 dBFS is gone within three seconds on a telephone, and, the more
/// of the band above 16 kHz it fills, after up to eight at 44.1 and 48 kHz. Louder hiss without a voice takes longer.
///
/// `process` allocates nothing on the thread that made it. On another thread the first step does, once for each thread:
/// the crate keeps the plans and the scratch of its transforms by thread.
///
/// ```
/// use voxline_audio::{Denoise, SampleRate, StrongDenoiser};
///
/// let mut reducer = StrongDenoiser::new(SampleRate::Hz8000);
/// assert_eq!(reducer.latency(), 195); // 24 ms
/// let mut frame = [0.01; 160];
/// reducer.process(&mut frame);
/// assert_eq!(frame[..80], [0.0; 80], "the delay comes first");
/// ```
#[derive(Debug)]
pub struct StrongDenoiser {
    network: Rnnoise,
    down: Resampler,
    /// Scratch for one step at the caller's rate.
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
            network: Rnnoise::new(rate, Preset::Telephone),
            down: Resampler::new(SampleRate::Hz48000, rate),
            downsampled: vec![0.0; step + 2],
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
}

impl Denoise for StrongDenoiser {
    fn process(&mut self, samples: &mut [f32]) {
        let Self { network, down, downsampled, ready, step } = self;
        for run in samples.chunks_mut(*step) {
            network.process(run, |cleaned, _| {
                let out = &mut downsampled[..down.output_len(cleaned.len())];
                down.process(cleaned, out);
                ready.extend(out.iter());
            });
            for sample in run {
                *sample = ready.pop_front().unwrap_or(0.0);
            }
        }
    }

    fn latency(&self) -> usize {
        self.network.latency() * self.step / STEP + self.down.latency() + 2
    }

    fn reset(&mut self) {
        self.network.reset();
        self.down.reset();
        self.fill();
    }
}
