//! Recursive filters.

use core::f64::consts::{PI, SQRT_2};

use crate::SampleRate;
use crate::tame::tame;

/// A second-order Butterworth high-pass: takes away hum, rumble and any constant offset.
///
/// −3 dB at its cut-off, 12 dB an octave below. It has no latency beyond its own phase.
///
/// ```
/// use voxline_audio::{HighPass, SampleRate};
///
/// let mut filter = HighPass::new(SampleRate::Hz8000, 100.0);
/// let mut frame = [0.25; 1600];
/// filter.process(&mut frame);
/// assert!(frame[1599].abs() < 1e-4, "the offset is gone");
/// ```
#[derive(Debug, Clone)]
pub struct HighPass {
    gain: f64,
    /// Feedback, of the last output and of the one before.
    feedback: [f64; 2],
    state: [f64; 2],
}

impl HighPass {
    /// A filter that keeps what lies above `cutoff_hz`. 80 to 100 Hz suits speech; above 300 Hz voices thin out.
    ///
    /// # Panics
    /// Panics unless `cutoff_hz` lies between zero and half the rate.
    #[must_use]
    pub fn new(rate: SampleRate, cutoff_hz: f32) -> Self {
        let nyquist = f64::from(rate.hz()) / 2.0;
        let cutoff = f64::from(cutoff_hz);
        assert!(cutoff > 0.0 && cutoff < nyquist, "a cut-off lies between zero and half the rate");
        // The bilinear transform of s² ⁄ (s² + √2 s + 1), its frequency axis bent to keep the cut-off in place.
        let k = (PI / 2.0 * cutoff / nyquist).tan();
        let gain = 1.0 / (1.0 + SQRT_2 * k + k * k);
        let feedback = [2.0 * (k * k - 1.0) * gain, (1.0 - SQRT_2 * k + k * k) * gain];
        Self { gain, feedback, state: [0.0; 2] }
    }

    /// Filters one run in place. NaN counts as silence, and ±8 is the most that is let in, so that no input can
    /// poison what follows.
    pub fn process(&mut self, frame: &mut [f32]) {
        let Self { gain, feedback: [a1, a2], state: [mut s1, mut s2] } = *self;
        for sample in frame {
            // Transposed direct form II, its zeros both at zero frequency: b = gain × (1, −2, 1).
            let x = gain * f64::from(tame(*sample));
            let y = x + s1;
            s1 = s2 - 2.0 * x - a1 * y;
            s2 = x - a2 * y;
            *sample = y as f32;
        }
        // In digital silence the state shrinks for ever; from here to a double's denormals is seconds away.
        self.state = [s1, s2].map(|state| if state.abs() < INAUDIBLE { 0.0 } else { state });
    }

    /// Forgets the past.
    pub const fn reset(&mut self) {
        self.state = [0.0; 2];
    }
}

/// −600 dBFS.
const INAUDIBLE: f64 = 1e-30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{rms, to_dbfs};

    /// Gain in dB at `hz` once the filter has settled.
    fn response(rate: SampleRate, cutoff: f32, hz: f64) -> f32 {
        let mut filter = HighPass::new(rate, cutoff);
        let step = 2.0 * PI * hz / f64::from(rate.hz());
        let mut wave: Vec<f32> = (0..rate.hz()).map(|i| (step * f64::from(i)).sin() as f32).collect();
        filter.process(&mut wave);
        to_dbfs(rms(&wave[wave.len() / 2..])) + 3.01
    }

    #[test]
    fn the_response_is_a_butterworth_of_order_two() {
        for rate in SampleRate::ALL {
            for cutoff in [50.0, 100.0, 300.0] {
                let edge = response(rate, cutoff, f64::from(cutoff));
                assert!((edge + 3.01).abs() < 0.02, "{rate} {cutoff} Hz: {edge} dB at the cut-off");
                let kept = response(rate, cutoff, f64::from(cutoff) * 5.0);
                assert!(kept.abs() < 0.02, "{rate} {cutoff} Hz: {kept} dB above it");
                let octaves = response(rate, cutoff, f64::from(cutoff) / 8.0);
                assert!(
                    (-37.0..-35.5).contains(&octaves),
                    "{rate} {cutoff} Hz: {octaves} dB three octaves down"
                );
            }
        }
    }

    #[test]
    fn bad_samples_are_forgotten_and_silence_ends_in_exact_zeros() {
        let mut filter = HighPass::new(SampleRate::Hz8000, 100.0);
        filter.process(&mut [f32::NAN, f32::INFINITY, -1e30, 0.5]);
        filter.process(&mut [0.0; 8_000]);
        let mut silence = [0.0; 8_000];
        filter.process(&mut silence);
        assert!(silence.iter().all(|sample| *sample == 0.0));
    }
}
