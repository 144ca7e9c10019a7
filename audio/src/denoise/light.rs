//! Steady noise taken out band by band.

use super::Denoise;
use crate::SampleRate;
use crate::fft::Fft;
use crate::slow_minimum::SlowMinimum;
use crate::tame::tame;

/// Turns down each bin of the spectrum as far as it is noise, by 12 dB at most.
///
/// A Wiener gain over a decision-directed a-priori ratio (Y. Ephraim and D. Malah, 1984) and a noise floor tracked by
/// minimum statistics, in windows of 16 to 23 ms that overlap by half. Twelve decibels leave a floor of natural
/// noise, which hides the tones such gains make where they come and go.
///
/// Hum, hiss and fans go; other voices stay.
///
/// ```
/// use voxline_audio::{Denoise, LightDenoiser, SampleRate};
///
/// let mut reducer = LightDenoiser::new(SampleRate::Hz16000);
/// assert_eq!(reducer.latency(), 256); // 16 ms
/// let mut frame = [0.01; 320];
/// reducer.process(&mut frame);
/// assert!(frame[..256].iter().all(|sample| sample.abs() < 1e-6), "the delay comes first");
/// ```
#[derive(Debug, Clone)]
pub struct LightDenoiser {
    fft: Fft,
    /// Root of a Hann window, used before and after: the squares of its halves add up to one.
    window: Vec<f32>,
    /// The last window of input.
    input: Vec<f32>,
    /// Sums of overlapping windows; the first half is complete.
    output: Vec<f32>,
    re: Vec<f32>,
    im: Vec<f32>,
    bins: Vec<Bin>,
    /// Samples of the current half window that came and went.
    at: usize,
    is_first: bool,
}

#[derive(Debug, Clone)]
struct Bin {
    smoothed: f32,
    minimum: SlowMinimum,
    /// Power over noise that the last window kept.
    clean: f32,
}

impl LightDenoiser {
    /// A reducer for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let size = (rate.hz() as usize * 16 / 1_000).next_power_of_two();
        let half_turn = core::f32::consts::PI / size as f32;
        let memory = rate.hz() as usize * 3 / size;
        let bin = Bin { smoothed: 0.0, minimum: SlowMinimum::new(memory as u32), clean: 0.0 };
        Self {
            fft: Fft::new(size),
            window: (0..size).map(|n| (half_turn * n as f32).sin()).collect(),
            input: vec![0.0; size],
            output: vec![0.0; size],
            re: vec![0.0; size],
            im: vec![0.0; size],
            bins: vec![bin; size / 2 + 1],
            at: 0,
            is_first: true,
        }
    }

    /// Cleans the window that just became complete and adds it to the output.
    fn turn(&mut self) {
        for ((value, sample), window) in self.re.iter_mut().zip(&self.input).zip(&self.window) {
            *value = sample * window;
        }
        self.im.fill(0.0);
        self.fft.process(&mut self.re, &mut self.im);
        let size = self.re.len();
        let is_first = core::mem::take(&mut self.is_first);
        for (k, bin) in self.bins.iter_mut().enumerate() {
            let (re, im) = (self.re[k], self.im[k]);
            let gain = bin.gain(re * re + im * im + POWER_FLOOR, is_first);
            (self.re[k], self.im[k]) = (re * gain, im * gain);
            if k > 0 && k < size / 2 {
                (self.re[size - k], self.im[size - k]) = (re * gain, -im * gain);
            }
        }
        // With its parts swapped the second transform is the inverse.
        self.fft.process(&mut self.im, &mut self.re);
        let half = size / 2;
        self.output.copy_within(half.., 0);
        self.output[half..].fill(0.0);
        for ((sum, sample), window) in self.output.iter_mut().zip(&self.re).zip(&self.window) {
            *sum += sample * window / size as f32;
        }
        self.input.copy_within(half.., 0);
    }
}

impl Denoise for LightDenoiser {
    fn process(&mut self, samples: &mut [f32]) {
        let half = self.input.len() / 2;
        for sample in samples {
            self.input[half + self.at] = tame(*sample);
            *sample = self.output[self.at];
            self.at += 1;
            if self.at == half {
                self.at = 0;
                self.turn();
            }
        }
    }

    fn latency(&self) -> usize {
        self.input.len()
    }

    fn reset(&mut self) {
        self.input.fill(0.0);
        self.output.fill(0.0);
        self.at = 0;
        self.is_first = true;
        for bin in &mut self.bins {
            bin.minimum.reset();
            bin.clean = 0.0;
        }
    }
}

impl Bin {
    fn gain(&mut self, power: f32, is_first: bool) -> f32 {
        self.smoothed = if is_first { power } else { self.smoothed + (power - self.smoothed) * SMOOTHING };
        let noise = self.minimum.push(self.smoothed) * MINIMUM_BIAS;
        let posterior = (power / noise).min(MAX_RATIO);
        let prior = PERSISTENCE * self.clean + (1.0 - PERSISTENCE) * (posterior - 1.0).max(0.0);
        let gain = (prior / (1.0 + prior)).max(LEAST_GAIN);
        self.clean = posterior * gain * gain;
        gain
    }
}

/// -12 dB.
const LEAST_GAIN: f32 = 0.25;

/// Share of a window in the smoothed power: about 100 ms.
const SMOOTHING: f32 = 0.1;

/// By how much the minimum of 3 s of the smoothed power of noise lies under its mean.
const MINIMUM_BIAS: f32 = 2.0;

/// Weight of the past in the a-priori ratio.
const PERSISTENCE: f32 = 0.96;

/// 40 dB over the noise is as clean as it gets.
const MAX_RATIO: f32 = 10_000.0;

/// Power of a bin that counts as nothing: -100 dBFS of a sine.
const POWER_FLOOR: f32 = 1e-9;
