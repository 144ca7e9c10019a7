//! Conversions between wire bytes, `i16` at the edges, and `f32` inside.
//!
//! Full scale is 32,768: an `i16` maps to `f32` within −1.0 ..= 0.999_97 and back without a change of one bit.
//!
//! ```
//! use voxline_audio::pcm;
//!
//! let (mut samples, mut floats) = ([0; 2], [0.0; 2]);
//! pcm::le_bytes_to_i16(&[0x00, 0x40, 0x00, 0x80], &mut samples);
//! pcm::i16_to_f32(&samples, &mut floats);
//! assert_eq!(floats, [0.5, -1.0]);
//! ```

use crate::simd::widest;

/// Reads little-endian bytes as samples.
///
/// # Panics
/// Panics unless `src` holds exactly two bytes for each sample of `dst`.
pub fn le_bytes_to_i16(src: &[u8], dst: &mut [i16]) {
    assert_eq!(src.len(), dst.len() * 2, "two bytes make one sample");
    for (sample, bytes) in dst.iter_mut().zip(src.as_chunks().0) {
        *sample = i16::from_le_bytes(*bytes);
    }
}

/// Writes samples as little-endian bytes.
///
/// # Panics
/// Panics unless `dst` holds exactly two bytes for each sample of `src`.
pub fn i16_to_le_bytes(src: &[i16], dst: &mut [u8]) {
    assert_eq!(dst.len(), src.len() * 2, "two bytes make one sample");
    for (bytes, sample) in dst.as_chunks_mut().0.iter_mut().zip(src) {
        *bytes = sample.to_le_bytes();
    }
}

/// Scales to ±1.0.
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn i16_to_f32(src: &[i16], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "one sample in, one sample out");
    widest(|| {
        for (to, &from) in dst.iter_mut().zip(src) {
            *to = from.to_f32();
        }
    });
}

/// Scales from ±1.0 and rounds to the nearest, ties to even. Saturates; NaN becomes silence.
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn f32_to_i16(src: &[f32], dst: &mut [i16]) {
    assert_eq!(src.len(), dst.len(), "one sample in, one sample out");
    widest(|| {
        for (to, &from) in dst.iter_mut().zip(src) {
            *to = i16::from_f32(from);
        }
    });
}

/// The two sample types, for kernels that take either.
pub(crate) trait Sample: Copy {
    const SILENCE: Self;
    fn to_f32(self) -> f32;
    fn from_f32(sample: f32) -> Self;
}

impl Sample for f32 {
    const SILENCE: Self = 0.0;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(sample: f32) -> Self {
        sample
    }
}

impl Sample for i16 {
    const SILENCE: Self = 0;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self) * (1.0 / FULL_SCALE)
    }

    #[inline(always)]
    fn from_f32(sample: f32) -> Self {
        let sample = if sample.is_nan() { 0.0 } else { sample };
        let scaled = (sample * FULL_SCALE).clamp(-FULL_SCALE, FULL_SCALE - 1.0);
        // The sum has no bits left below one, so the adder itself rounds, and the low half of its mantissa is the
        // sample in two's complement. `f32::round` is a call into libm on baseline x86-64.
        (scaled + ROUNDER).to_bits() as Self
    }
}

/// The magnitude of the most negative sample.
const FULL_SCALE: f32 = 32_768.0;

/// 1.5 × 2²³: added to anything within ±2²², it leaves a mantissa whose unit is exactly one.
const ROUNDER: f32 = 12_582_912.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_survives_the_way_to_float_and_back() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let mut floats = vec![0.0; all.len()];
        let mut back = vec![0; all.len()];
        i16_to_f32(&all, &mut floats);
        f32_to_i16(&floats, &mut back);
        assert_eq!(floats[0], -1.0);
        assert_eq!(back, all);
    }

    #[test]
    fn every_sample_survives_the_way_to_bytes_and_back() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let mut bytes = vec![0; all.len() * 2];
        let mut back = vec![0; all.len()];
        i16_to_le_bytes(&all, &mut bytes);
        le_bytes_to_i16(&bytes, &mut back);
        assert_eq!(back, all);
        assert_eq!(bytes[..4], [0x00, 0x80, 0x01, 0x80]);
    }

    #[test]
    fn floats_round_to_even_saturate_and_lose_their_nans() {
        let unit = 1.0 / FULL_SCALE;
        let odd_nan = f32::from_bits(0x7fc0_1234);
        for (name, from, to) in [
            ("tie down to even", 0.5 * unit, 0),
            ("tie up to even", 1.5 * unit, 2),
            ("negative tie", -2.5 * unit, -2),
            ("nearest", 99.7 * unit, 100),
            ("over", 1.0, i16::MAX),
            ("far over", 1e30, i16::MAX),
            ("infinite", f32::INFINITY, i16::MAX),
            ("minus infinite", f32::NEG_INFINITY, i16::MIN),
            ("under", -1.5, i16::MIN),
            ("not a number", f32::NAN, 0),
            ("not a number, with a payload", odd_nan, 0),
            ("denormal", f32::from_bits(1), 0),
            ("minus zero", -0.0, 0),
        ] {
            // Seventeen in a row meet both the vector loop and its tail.
            let mut out = [1; 17];
            f32_to_i16(&[from; 17], &mut out);
            assert_eq!(out, [to; 17], "{name}");
        }
    }
}
