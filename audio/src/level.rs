//! How loud a frame is.
//!
//! Levels are linear, 1.0 being full scale; [`to_dbfs`] turns them into decibels. By that measure a full-scale
//! sine has a peak of 0 dBFS and an RMS of −3 dBFS.
//!
//! ```
//! use voxline_audio::level;
//!
//! let frame = [0.5, -0.5, 0.5, -0.5];
//! assert_eq!(level::peak(&frame), 0.5);
//! assert_eq!(level::to_dbfs(level::rms(&frame)).round(), -6.0);
//! ```

use crate::simd::{dot, widest};

/// The largest magnitude; 0 for an empty frame. NaN counts as silence.
#[must_use]
pub fn peak(frame: &[f32]) -> f32 {
    widest(|| {
        let (chunks, rest) = frame.as_chunks::<LANES>();
        let mut peaks = [0.0_f32; LANES];
        for chunk in chunks {
            for (peak, sample) in peaks.iter_mut().zip(chunk) {
                *peak = larger(*peak, sample.abs());
            }
        }
        peaks.into_iter().chain(rest.iter().map(|sample| sample.abs())).fold(0.0, larger)
    })
}

/// The root of the mean square; 0 for an empty frame. NaN and infinities show in the result.
#[must_use]
pub fn rms(frame: &[f32]) -> f32 {
    if frame.is_empty() { 0.0 } else { (energy(frame) / frame.len() as f32).sqrt() }
}

/// The sum of squares.
#[must_use]
pub fn energy(frame: &[f32]) -> f32 {
    dot(frame, frame)
}

/// 20 log₁₀ of a linear level, never under [`FLOOR_DBFS`].
#[must_use]
pub fn to_dbfs(linear: f32) -> f32 {
    (20.0 * linear.log10()).max(FLOOR_DBFS)
}

/// The linear level of `dbfs` decibels.
#[must_use]
pub fn from_dbfs(dbfs: f32) -> f32 {
    10.0_f32.powf(dbfs / 20.0)
}

/// What [`to_dbfs`] calls digital silence: 24 dB under the last bit of an `i16`.
pub const FLOOR_DBFS: f32 = -120.0;

/// `f32::max` without its extra work for NaN: a NaN in `b` loses.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Two AVX2 vectors: enough to hide the latency of an addition half-way.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_sine_peaks_at_zero_and_has_an_rms_of_minus_three_dbfs() {
        let sine: Vec<f32> = (0..1_600).map(|i| (core::f32::consts::TAU * 0.01 * i as f32).sin()).collect();
        assert!(to_dbfs(peak(&sine)).abs() < 0.01);
        assert!((to_dbfs(rms(&sine)) + 3.01).abs() < 0.01);
        assert!((energy(&sine) - 800.0).abs() < 0.01);
    }

    #[test]
    fn the_peak_is_found_wherever_it_stands() {
        for length in 1..70 {
            for at in 0..length {
                let mut frame = vec![0.25; length];
                frame[at] = -0.5;
                assert_eq!(peak(&frame), 0.5, "{at} of {length}");
            }
        }
        assert_eq!(peak(&[f32::NAN, 0.1]), 0.1);
    }

    #[test]
    fn nothing_and_silence_lie_on_the_floor() {
        for level in [peak(&[]), rms(&[]), rms(&[0.0; 160])] {
            assert_eq!(to_dbfs(level), FLOOR_DBFS);
        }
        assert!((from_dbfs(to_dbfs(0.3)) - 0.3).abs() < 1e-6);
    }
}
