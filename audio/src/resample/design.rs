//! The prototype low-pass filter every phase is cut from.

use core::f64::consts::PI;

use super::{Preset, low_delay};

/// A low-pass at `up` times the input rate.
#[derive(Debug)]
pub(super) struct Prototype {
    pub(super) up: usize,
    pub(super) down: usize,
    taps: Vec<f64>,
}

impl Prototype {
    pub(super) fn new(up: usize, down: usize, taps: Vec<f64>) -> Self {
        Self { up, down, taps }
    }

    /// The whole filter of `preset`, and its delay in output samples.
    pub(super) fn design(up: usize, down: usize, preset: Preset) -> (Self, usize) {
        match preset {
            Preset::Detector => Self::linear_phase(up, down, 60.0),
            Preset::Strict => (low_delay::whole(up, down), low_delay::latency(up, down)),
            Preset::Telephone => Self::linear_phase(up, down, 80.0),
        }
    }

    /// A sinc under a Kaiser window, cut off at the lower Nyquist frequency.
    ///
    /// It has a zero at every `max(up, down)`-th tap but the middle one, exactly: an L-th band filter. Those taps are
    /// never multiplied.
    fn linear_phase(up: usize, down: usize, attenuation: f64) -> (Self, usize) {
        // Frequencies below are relative to the lower Nyquist frequency, which is 1 ⁄ 2·band of the filter's rate.
        let band = up.max(down);
        // Kaiser's estimates of the length and of the window's shape (Oppenheim and Schafer, section 7.6).
        let half = (attenuation - 8.0) * band as f64 / (2.0 * 2.285 * PI * TRANSITION);
        let beta = 0.1102 * (attenuation - 8.7);
        // A multiple of `down` makes the latency a whole number of output samples.
        let half = (half.ceil() as usize).next_multiple_of(down);
        let tap = |index: usize| {
            let distance = index.abs_diff(half);
            if distance > 0 && distance.is_multiple_of(band) {
                return 0.0;
            }
            let angle = distance as f64 / band as f64;
            let edge = distance as f64 / half as f64;
            let window = bessel_i0(beta * (1.0 - edge * edge).sqrt()) / bessel_i0(beta);
            up as f64 / band as f64 * sinc(angle) * window
        };
        // Linear phase: the second half mirrors the first.
        let mut taps: Vec<f64> = (0..=half).map(tap).collect();
        taps.extend_from_within(..half);
        taps[half + 1..].reverse();
        (Self::new(up, down, taps), half / down)
    }

    /// Zero beyond the last tap.
    pub(super) fn tap(&self, index: usize) -> f64 {
        self.taps.get(index).copied().unwrap_or(0.0)
    }

    /// Taps of the longest phase.
    pub(super) fn taps_per_phase(&self) -> usize {
        self.taps.len().div_ceil(self.up)
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The modified Bessel function of order zero, by its power series; exact to a double for arguments under 20.
pub(super) fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

/// Width of the band from the end of the pass band to the start of the stop band, at 0.85 and 1.15.
const TRANSITION: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bessel_function_has_its_published_values() {
        for (x, value) in [(0.0, 1.0), (1.0, 1.266_065_877_752_008), (5.0, 27.239_871_823_604_44)] {
            assert!((bessel_i0(x) / value - 1.0).abs() < 1e-14, "{x}");
        }
    }

    #[test]
    fn every_second_tap_of_a_half_band_filter_is_zero_and_it_is_symmetric() {
        let (half_band, _) = Prototype::design(2, 1, Preset::Telephone);
        let count = half_band.taps.len();
        assert_eq!(half_band.taps.iter().filter(|tap| **tap == 0.0).count(), count / 2);
        for index in 0..count {
            assert_eq!(half_band.tap(index), half_band.tap(count - 1 - index), "{index}");
        }
        assert_eq!(half_band.tap(count), 0.0);
    }
}
