//! The peak between the samples.

use core::f64::consts::PI;

use crate::tame::tame;

/// Measures the peak a converter would make of the samples, between them too.
///
/// Samples can miss the top of a wave by 3 dB and more. BS.1770 annex 2 asks for four times the rate, which still misses
/// 0.5 dB of what a telephone carries; a parabola through each three points leaves less than 0.1 dB for any tone.
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
    /// The point before the sample that is next in the middle.
    last_point: f32,
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
        Self { taps, history: [0.0; 2 * TAPS], at: 0, last_point: 0.0, peak: 0.0 }
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
        // The last point before the sample, the sample, the points after it, and the next sample.
        let mut points = [0.0; PHASES + 3];
        (points[0], points[1], points[PHASES + 2]) =
            (self.last_point, recent[TAPS - 1 - Self::DELAY], recent[TAPS - Self::DELAY]);
        for (point, taps) in points[2..].iter_mut().zip(&self.taps) {
            *point = recent.iter().zip(taps).map(|(x, tap)| x * tap).sum();
        }
        self.last_point = points[PHASES + 1];
        points.windows(3).map(|three| top(three[0], three[1], three[2])).fold(0.0, f32::max)
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
        self.last_point = 0.0;
        self.peak = 0.0;
    }
}

impl Default for TruePeak {
    fn default() -> Self {
        Self::new()
    }
}

/// The magnitude at the middle one of three points, or at the top of the parabola through them if that lies nearer to it
/// than to the others.
#[inline]
fn top(before: f32, middle: f32, after: f32) -> f32 {
    let (slope, bend) = (after - before, 2.0 * middle - before - after);
    let rise = if slope.abs() <= bend.abs() && bend != 0.0 { slope * slope / (8.0 * bend) } else { 0.0 };
    (middle + rise).abs()
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
        for step in 1..=39 {
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
                assert!(db.abs() < 0.1, "{frequency} of the rate, phase {phase}: {db} dB");
            }
        }
    }
}
