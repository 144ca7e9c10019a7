//! Adding streams, and keeping the sum inside full scale.
//!
//! ```
//! use voxline_audio::{level, mix};
//!
//! // The sound of an office, 20 dB under what it is recorded at, behind an agent's voice.
//! let (mut voice, office) = ([0.9_f32; 160], [0.5; 160]);
//! mix::add_scaled(&mut voice, &office, level::from_dbfs(-20.0));
//! mix::soft_limit(&mut voice);
//! assert!(voice.iter().all(|sample| *sample < 1.0));
//! ```

use crate::simd::widest;

/// Adds `src` into `acc`, sample by sample. The sum may pass ±1.0: end with [`soft_limit`].
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn add(acc: &mut [f32], src: &[f32]) {
    assert_eq!(acc.len(), src.len(), "streams are mixed sample by sample");
    widest(|| {
        for (sum, sample) in acc.iter_mut().zip(src) {
            *sum += sample;
        }
    });
}

/// Adds `gain` × `src` into `acc`: a background under a voice.
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn add_scaled(acc: &mut [f32], src: &[f32], gain: f32) {
    assert_eq!(acc.len(), src.len(), "streams are mixed sample by sample");
    widest(|| {
        for (sum, sample) in acc.iter_mut().zip(src) {
            *sum += gain * sample;
        }
    });
}

/// Bends what passes [`KNEE`] towards ±1.0, which it never reaches; what lies below is not changed by one bit.
///
/// The curve has the slope of the straight line at the knee, so speech that just touches it keeps its timbre; the
/// look-ahead limiter keeps it at any level, for 5 ms of delay. NaN becomes silence.
pub fn soft_limit(frame: &mut [f32]) {
    widest(|| {
        for sample in frame {
            let magnitude = if sample.is_nan() { 0.0 } else { sample.abs() };
            // Beyond 10⁶ the curve is flat to the last bit, and infinity over infinity is never formed.
            let excess = ((magnitude - KNEE) * (1.0 / HEADROOM)).min(1e6);
            let bent = KNEE + HEADROOM * excess / (1.0 + excess);
            *sample = (if excess > 0.0 { bent } else { magnitude }).copysign(*sample);
        }
    });
}

/// Where [`soft_limit`] starts to bend: −2.5 dBFS.
pub const KNEE: f32 = 0.75;

/// From the knee to full scale.
const HEADROOM: f32 = 1.0 - KNEE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_add_and_backgrounds_are_scaled() {
        let mut sum = [0.25; 19];
        add(&mut sum, &[0.5; 19]);
        add_scaled(&mut sum, &[0.5; 19], -0.5);
        assert_eq!(sum, [0.5; 19]);
    }

    #[test]
    fn below_the_knee_nothing_changes_and_above_it_full_scale_is_never_passed() {
        let mut last = 0.0;
        for step in 0..40_000 {
            let sample = step as f32 / 10_000.0;
            let mut frame = [sample, -sample];
            soft_limit(&mut frame);
            assert_eq!(frame[0], -frame[1], "{sample}");
            assert!(frame[0] >= last && frame[0] < 1.0, "{sample}");
            assert!(sample > KNEE || frame[0] == sample, "{sample}");
            last = frame[0];
        }
        let mut wild = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX];
        soft_limit(&mut wild);
        assert!(wild.iter().all(|sample| sample.abs() <= 1.0));
        assert_eq!(wild[2], 0.0);
    }
}
