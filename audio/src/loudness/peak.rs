//! The peak between the samples.

use core::f64::consts::PI;

use crate::tame::tame;

/// Measures the peak a converter would make of the samples, by interpolating at four times their rate.
///
/// Samples can miss the top of a wave by 3 dB and more; BS.1770 annex 2 asks for four times the rate, which leaves
/// less than 0.7 dB for tones at the very edge of the band and less than 0.1 dB up to three eighths of the rate.
///
/// ```
/// use voxline_audio::TruePeak;
///
/// let mut peak = TruePeak::new();
/// // A full-scale sine at a quarter of the rate, sampled 3 dB under its tops.
/// let sine: Vec<f32> = (0..400).map(|n| ((2 * n + 1) as f32 * std::f32::consts::FRAC_PI_4).sin()).collect();
/// peak.process(&sine);
/// assert!((peak.linear() - 1.0).abs() < 0.02);
/// ```
#[derive(Debug, Clone)]
pub struct TruePeak {
    taps: [[f32; TAPS]; PHASES],
    /// The last samples twice over, so that a run of them is always in one piece.
    history: [f32; 2 * TAPS],
    at: usize,
    peak: f32,
}

impl TruePeak {
    /// Samples that must follow one for the points after it to be known.
    pub(crate) const DELAY: usize = TAPS / 2;

    /// A meter that heard nothing yet.
    #[must_use]
    pub fn new() -> Self {
        // Four phases of a windowed sinc; the first is a plain delay, and is measured as it is.
        let taps = core::array::from_fn(|phase| {
            let shift = (phase + 1) as f64 / (PHASES + 1) as f64;
            let tap = |n: usize| {
                let x = n as f64 - (TAPS / 2 - 1) as f64 - shift;
                let window = 0.5 + 0.5 * (PI * x / (TAPS / 2) as f64).cos();
                (PI * x).sin() / (PI * x) * window
            };
            let sum: f64 = (0..TAPS).map(tap).sum();
            core::array::from_fn(|n| (tap(n) / sum) as f32)
        });
        Self { taps, history: [0.0; 2 * TAPS], at: 0, peak: 0.0 }
    }

    /// Listens to a run of samples, of any length.
    pub fn process(&mut self, samples: &[f32]) {
        for &sample in samples {
            let sample = tame(sample);
            // What stands in the middle was measured between samples only; the edges of the sound never get there.
            self.peak = self.peak.max(sample.abs()).max(self.next(sample));
        }
    }

    /// Takes in one sample and returns the magnitude around the one [`DELAY`](Self::DELAY) before it: its own, and
    /// that of the points up to the next.
    pub(crate) fn next(&mut self, sample: f32) -> f32 {
        self.history[self.at] = sample;
        self.history[self.at + TAPS] = sample;
        self.at = (self.at + 1) % TAPS;
        let recent = &self.history[self.at..self.at + TAPS];
        let mut magnitude = recent[TAPS - 1 - Self::DELAY].abs();
        for taps in &self.taps {
            let between: f32 = recent.iter().zip(taps).map(|(x, tap)| x * tap).sum();
            magnitude = magnitude.max(between.abs());
        }
        magnitude
    }

    /// The highest peak so far; 1 is full scale, and between samples it may be more.
    #[must_use]
    pub const fn linear(&self) -> f32 {
        self.peak
    }

    /// The highest peak so far, in dB over full scale (dBTP), never under [`level::FLOOR_DBFS`](crate::level::FLOOR_DBFS).
    #[must_use]
    pub fn dbtp(&self) -> f32 {
        crate::level::to_dbfs(self.peak)
    }

    /// Forgets all it heard.
    pub fn reset(&mut self) {
        self.history = [0.0; 2 * TAPS];
        self.at = 0;
        self.peak = 0.0;
    }
}

impl Default for TruePeak {
    fn default() -> Self {
        Self::new()
    }
}

/// Points between two samples.
const PHASES: usize = 3;

/// Samples each point is made from: flat to 0.1 dB up to 0.45 of the rate.
const TAPS: usize = 32;

#[cfg(test)]
mod tests {
    use core::f32::consts::TAU;

    use super::*;

    #[test]
    fn a_sine_of_any_frequency_and_phase_reads_its_own_peak() {
        for step in 1..=30 {
            let frequency = step as f32 * 0.0125;
            for phase in 0..16 {
                let mut peak = TruePeak::new();
                let start = phase as f32 / 16.0;
                let sine: Vec<f32> =
                    (0..500).map(|n| 0.5 * (TAU * (frequency * n as f32 + start)).sin()).collect();
                // The beginning is an edge, which overshoots: let it pass.
                peak.process(&sine[..100]);
                peak.peak = 0.0;
                peak.process(&sine[100..]);
                let db = 20.0 * (peak.linear() / 0.5).log10();
                // Four points a sample: the nearest is at most an eighth of a sample off the top.
                let missed = 20.0 * (TAU * frequency / 8.0).cos().log10();
                assert!(db < 0.1 && db > missed - 0.1, "{frequency} of the rate, phase {phase}: {db} dB");
            }
        }
    }
}
