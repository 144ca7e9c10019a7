//! The low-pass of [`Preset::Strict`](super::Preset), which delays by less than half its length.
//!
//! A linear phase would be late by half the filter: 5.4 ms at 8 kHz for this attenuation and transition. Yet only the
//! pass band has to keep its shape. So the pass band is asked for a constant delay, chosen freely, the stop band for
//! silence, and the band between for no more than to stay small: least squares in the complex domain (Chen and Parks,
//! "Design of FIR filters in the complex domain", IEEE Transactions on ASSP 35, 1987).
//!
//! One design serves every pair of rates. Its *core* runs at twice the lower rate, and each tap of the core stands for
//! a short, smooth *pulse*, which gives the filter a value at every moment and hides the core's repetitions in
//! frequency. The core makes up for the pulse's own roll-off, as imaging does when it grids (Jackson and others,
//! "Selection of a convolution function for Fourier inversion using gridding", IEEE Transactions on Medical Imaging
//! 10, 1991). The two also work one after the other: where the rates lie far apart that takes a fraction of the
//! multiplications, and of the coefficients.

use core::f64::consts::PI;
use std::sync::LazyLock;

use super::design::{Prototype, bessel_i0};
use super::pace::reduced;

/// Core and pulse in one filter.
pub(super) fn whole(up: usize, down: usize) -> Prototype {
    // A tap is half a step of the pulse: a sample of the core is half a sample of the lower rate.
    let band = up.max(down);
    let pulse = sampled_pulse(band, lateness(up, down));
    let length = ((CORE_LENGTH - 1) * band + pulse.len()).div_ceil(2);
    let tap = |index: usize| {
        let at = 2 * index;
        let first = (at + 1).saturating_sub(pulse.len()).div_ceil(band);
        let covering = CORE.iter().enumerate().take(at / band + 1).skip(first);
        let sum: f64 = covering.map(|(index, tap)| tap * pulse[at - index * band]).sum();
        (2 * up) as f64 / band as f64 * sum
    };
    Prototype::new(up, down, (0..length).map(tap).collect())
}

/// The same in two filters, the first to twice the lower rate and the second on from there.
pub(super) fn halves(up: usize, down: usize) -> [Prototype; 2] {
    if up > down {
        let late = lateness(up, down);
        let (up, down) = reduced(up, 2 * down);
        [core(2, 1), Prototype::new(up, down, sampled_pulse(up, late))]
    } else {
        let (up, down) = reduced(2 * up, down);
        let scale = up as f64 / down as f64;
        let pulse = sampled_pulse(down, 0.0).iter().map(|tap| scale * tap).collect();
        [Prototype::new(up, down, pulse), core(1, 2)]
    }
}

/// Delay in output samples.
pub(super) fn latency(up: usize, down: usize) -> usize {
    (DELAY * up.max(down)).div_ceil(down)
}

/// By how many samples of the core the pulse is put off, to make the latency a whole number of output samples.
fn lateness(up: usize, down: usize) -> f64 {
    2.0 * ((latency(up, down) * down) as f64 / up.max(down) as f64 - DELAY as f64)
}

fn core(up: usize, down: usize) -> Prototype {
    Prototype::new(up, down, CORE.iter().map(|tap| up as f64 * tap).collect())
}

static CORE: LazyLock<Vec<f64>> = LazyLock::new(design);

/// The core that, through the pulse, comes closest to a pure delay in the pass band and to silence in the stop band.
fn design() -> Vec<f64> {
    let delay = (2 * DELAY) as f64 - PULSE_LENGTH / 2.0;
    let (mut correlation, mut target) = (vec![0.0; CORE_LENGTH], vec![0.0; CORE_LENGTH]);
    for step in 0..=GRID {
        // Relative to the lower Nyquist frequency; the core's own is twice that.
        let frequency = 2.0 * step as f64 / GRID as f64;
        let (wanted, weight) = if frequency <= PASS {
            (1.0, toward_the_edge(frequency / PASS))
        } else if frequency < STOP {
            (0.0, BETWEEN)
        } else {
            (0.0, ATTENUATION.powi(2) * toward_the_edge((2.0 - frequency) / (2.0 - STOP)))
        };
        let gain = pulse_response(frequency);
        let angle = PI / 2.0 * frequency;
        let ((turn_sin, turn_cos), (delay_sin, delay_cos)) = (angle.sin_cos(), (delay * angle).sin_cos());
        let (mut sin, mut cos) = (0.0, 1.0);
        for (correlation, target) in correlation.iter_mut().zip(&mut target) {
            *correlation += weight * gain * gain * cos;
            *target += weight * gain * wanted * (cos * delay_cos + sin * delay_sin);
            (sin, cos) = (sin * turn_cos + cos * turn_sin, cos * turn_cos - sin * turn_sin);
        }
    }
    solve_toeplitz(&correlation, &target)
}

/// Least squares errs the most at the edges of a band. Weighted like this the error is nearly even.
fn toward_the_edge(position: f64) -> f64 {
    1.0 / (1.01 - position * position)
}

/// Solves the symmetric Toeplitz system with this first column, by Levinson's recursion (Golub and Van Loan, "Matrix
/// Computations", section 4.7).
fn solve_toeplitz(column: &[f64], right: &[f64]) -> Vec<f64> {
    let reversed_dot = |vector: &[f64], column: &[f64]| -> f64 {
        vector.iter().zip(column.iter().rev()).map(|(a, b)| a * b).sum()
    };
    let mut predictor = vec![1.0];
    let mut error = column[0];
    let mut solution = vec![right[0] / error];
    for order in 1..column.len() {
        let reflection = -reversed_dot(&predictor, &column[1..=order]) / error;
        predictor.push(0.0);
        let backward: Vec<f64> = predictor.iter().rev().copied().collect();
        for (tap, back) in predictor.iter_mut().zip(backward) {
            *tap += reflection * back;
        }
        error *= 1.0 - reflection * reflection;

        let step = (right[order] - reversed_dot(&solution, &column[1..=order])) / error;
        solution.push(0.0);
        for (value, back) in solution.iter_mut().zip(predictor.iter().rev()) {
            *value += step * back;
        }
    }
    solution
}

/// The pulse, `steps` values to a sample of the core, from `late` samples before it begins.
fn sampled_pulse(steps: usize, late: f64) -> Vec<f64> {
    let length = ((PULSE_LENGTH + late) * steps as f64) as usize + 1;
    (0..length).map(|index| pulse(index as f64 / steps as f64 - late)).collect()
}

/// A Kaiser window whose transform is 1 at frequency zero.
fn pulse(time: f64) -> f64 {
    let position = 2.0 * time / PULSE_LENGTH - 1.0;
    let inside = 1.0 - position * position;
    if inside < 0.0 {
        return 0.0;
    }
    PULSE_SHAPE / (PULSE_LENGTH * PULSE_SHAPE.sinh()) * bessel_i0(PULSE_SHAPE * inside.sqrt())
}

/// The pulse's transform but for its delay; the frequency is relative to the lower Nyquist frequency, up to 2.
fn pulse_response(frequency: f64) -> f64 {
    let angle = PI / 4.0 * PULSE_LENGTH * frequency;
    let root = (PULSE_SHAPE * PULSE_SHAPE - angle * angle).sqrt();
    root.sinh() / root * PULSE_SHAPE / PULSE_SHAPE.sinh()
}

/// Delay in samples of the lower rate: 3.25 ms at 8 kHz. The band between pays for every one less: at 24 it rises by
/// 1 dB.
const DELAY: usize = 26;

/// Taps of the core.
const CORE_LENGTH: usize = 160;

/// End of the pass band and start of the stop band, relative to the lower Nyquist frequency.
const PASS: f64 = 0.85;
const STOP: f64 = 1.0;

/// How many times smaller an error has to be in the stop band than in the pass band.
const ATTENUATION: f64 = 11.0;

/// Weight of the band between, where the middle of the pass band has 1: it rises by 0.6 dB at the most.
const BETWEEN: f64 = 1e-6;

/// Frequencies from zero to the core's Nyquist frequency, four to a tap; both edges are among them.
const GRID: usize = 4 * CORE_LENGTH;

/// In samples of the core. Nothing much shorter hides the core's repetitions, here by 107 dB.
const PULSE_LENGTH: f64 = 6.2;

/// Kaiser's beta.
const PULSE_SHAPE: f64 = 14.2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Real and imaginary part of the filter without its delay; the frequency is relative to the lower Nyquist frequency.
    fn response(filter: &Prototype, delay: f64, frequency: f64) -> (f64, f64) {
        let (mut re, mut im) = (0.0, 0.0);
        for index in 0..filter.taps_per_phase() * filter.up {
            let tap = filter.tap(index);
            let (sin, cos) =
                (PI * frequency * (index as f64 / filter.up.max(filter.down) as f64 - delay)).sin_cos();
            (re, im) = (re + tap * cos, im - tap * sin);
        }
        (re / filter.up as f64, im / filter.up as f64)
    }

    #[test]
    fn the_response_is_a_delay_then_bounded_then_silence() {
        let filter = whole(1, 6);
        for step in 0..=6_000 {
            let frequency = f64::from(step) / 1_000.0;
            let (re, im) = response(&filter, DELAY as f64, frequency);
            let gain = 20.0 * re.hypot(im).log10();
            if frequency <= PASS {
                assert!((re - 1.0).hypot(im) < 1.15e-4, "{re} {im} at {frequency}");
            } else if frequency < STOP {
                assert!(gain < 0.6, "{gain} dB at {frequency}");
            } else {
                assert!(gain < -101.0, "{gain} dB at {frequency}");
            }
        }
    }

    #[test]
    fn the_recursion_solves_its_system() {
        let column: Vec<f64> = (0..40).map(|lag| 0.8_f64.powi(lag) * f64::from(lag).cos()).collect();
        let right: Vec<f64> = (0..40).map(|index| f64::from(index * index % 7)).collect();
        let solution = solve_toeplitz(&column, &right);
        for (row, right) in right.iter().enumerate() {
            let sum: f64 =
                solution.iter().enumerate().map(|(at, value)| column[row.abs_diff(at)] * value).sum();
            assert!((sum - right).abs() < 1e-9, "row {row}");
        }
    }
}
