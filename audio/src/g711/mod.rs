//! ITU-T G.711 in both laws, equal to the recommendation for every input.
//!
//! A code is a sign, three bits of segment and four of step: a floating-point number with a four-bit mantissa.
//! So the `f32` unit does the work. The exponent and the top of the mantissa of a biased magnitude *are* segment and
//! step, and the way back is to put them into an `f32` and read its value. No table, no branch, and a loop every
//! compiler turns into vectors. Where the machine has AVX2, decoding takes a shorter way still.
//!
//! Negative samples are inverted, not negated, as the recommendation's tables and ITU-T G.191's reference do;
//! many implementations differ from them by one code on some hundred inputs.
//!
//! ```
//! use voxline_audio::g711;
//!
//! let (mut codes, mut back) = ([0; 3], [0; 3]);
//! g711::encode_mulaw(&[0, 1_000, -32_768], &mut codes);
//! assert_eq!(codes, [0xFF, 0xCE, 0x00]);
//! g711::decode_mulaw(&codes, &mut back);
//! assert_eq!(back, [0, 988, -32_124]);
//! ```

mod decode;

use crate::simd::widest;

/// Decodes µ-law. 0 ≤ |sample| ≤ 32,124.
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn decode_mulaw(src: &[u8], dst: &mut [i16]) {
    assert_eq!(src.len(), dst.len(), "one code is one sample");
    let done = decode::decode_vectors(&decode::MULAW, src, dst);
    for (sample, &code) in dst[done..].iter_mut().zip(&src[done..]) {
        *sample = mulaw_to_linear(code);
    }
}

/// Encodes µ-law; a magnitude over 32,635 is clipped to it.
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn encode_mulaw(src: &[i16], dst: &mut [u8]) {
    assert_eq!(src.len(), dst.len(), "one sample is one code");
    widest(|| {
        for (code, &sample) in dst.iter_mut().zip(src) {
            *code = linear_to_mulaw(sample);
        }
    });
}

/// Decodes A-law. 8 ≤ |sample| ≤ 32,256: A-law has no zero.
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn decode_alaw(src: &[u8], dst: &mut [i16]) {
    assert_eq!(src.len(), dst.len(), "one code is one sample");
    let done = decode::decode_vectors(&decode::ALAW, src, dst);
    for (sample, &code) in dst[done..].iter_mut().zip(&src[done..]) {
        *sample = alaw_to_linear(code);
    }
}

/// Encodes A-law.
///
/// # Panics
/// Panics unless the lengths are equal.
pub fn encode_alaw(src: &[i16], dst: &mut [u8]) {
    assert_eq!(src.len(), dst.len(), "one sample is one code");
    widest(|| {
        for (code, &sample) in dst.iter_mut().zip(src) {
            *code = linear_to_alaw(sample);
        }
    });
}

#[inline(always)]
fn mulaw_to_linear(code: u8) -> i16 {
    // A set top bit is plus, and all other bits are sent inverted.
    let magnitude = segment_and_step_to_integer(u32::from(!code & 0x7f)) - MULAW_BIAS;
    let sign = i32::from(code >> 7) - 1;
    ((magnitude ^ sign) - sign) as i16
}

#[inline(always)]
fn linear_to_mulaw(sample: i16) -> u8 {
    let biased = i32::from(sample ^ (sample >> 15)).min(MULAW_CLIP) + MULAW_BIAS;
    let code = ((biased as f32).to_bits() >> 19).wrapping_sub(SEGMENT_ZERO) as u8;
    code ^ 0x7f ^ plus_bit(sample)
}

#[inline(always)]
fn alaw_to_linear(code: u8) -> i16 {
    let bits = u32::from((code ^ ALAW_TOGGLE) & 0x7f);
    // Segments 0 and 1 have the same step: read 0 as 1 and take off the difference.
    let (bits, excess) = if bits < 16 { (bits + 16, 256) } else { (bits, 0) };
    let magnitude = segment_and_step_to_integer(bits) - excess;
    let sign = i32::from(code >> 7) - 1;
    ((magnitude ^ sign) - sign) as i16
}

#[inline(always)]
fn linear_to_alaw(sample: i16) -> u8 {
    let magnitude = i32::from(sample ^ (sample >> 15)) >> 4;
    // Up to 31 the code is the magnitude; from 16 up the exponent counts the segments, 16 being the first of segment 1.
    let by_exponent = ((magnitude as f32).to_bits() >> 19) as i32 - (SEGMENT_ZERO - (4 << 4)) as i32;
    // Below 16 the exponent counts too few, so the larger of the two is right on both sides.
    let code = by_exponent.max(magnitude.min(16));
    code as u8 ^ ALAW_TOGGLE ^ plus_bit(sample)
}

/// 2⁷⁺ˢᵉᵍᵐᵉⁿᵗ × (1 + step ⁄ 16 + 1 ⁄ 32): the middle of the step.
#[inline(always)]
fn segment_and_step_to_integer(bits: u32) -> i32 {
    let middle = f32::from_bits(((SEGMENT_ZERO + bits) << 19) | (1 << 18));
    // Adding 2²³ leaves the integer in the low mantissa bits; `as` would also test for NaN and overflow.
    ((middle + 8_388_608.0).to_bits() & 0x007f_ffff) as i32
}

/// The sign bit of both laws: set for zero and above.
#[inline(always)]
fn plus_bit(sample: i16) -> u8 {
    !(sample >> 15) as u8 & 0x80
}

/// What makes µ-law's segments powers of two: 33 of 8,159 steps (G.711, table 2a), times four for 16 bits.
const MULAW_BIAS: i32 = 132;

/// The largest magnitude segment 7 reaches.
const MULAW_CLIP: i32 = 32_767 - MULAW_BIAS;

/// A-law sends every second bit inverted (G.711, table 1a, note 2).
const ALAW_TOGGLE: u8 = 0x55;

/// Exponent 2⁷ of an `f32` with four mantissa bits below it: where segment 0 of biased µ-law starts.
const SEGMENT_ZERO: u32 = (127 + 7) << 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::plainly;

    /// Tables 1a and 2a of the recommendation, one polarity: where each segment starts and how wide its 16
    /// intervals are, in the tables' own units (13-bit for A-law, 14-bit for µ-law).
    type Segments = [(i32, i32); 8];
    const ALAW: Segments =
        [(0, 2), (32, 2), (64, 4), (128, 8), (256, 16), (512, 32), (1_024, 64), (2_048, 128)];
    // µ-law's first interval is half as wide as the next ones, so it starts below zero.
    const MULAW: Segments =
        [(-1, 2), (31, 4), (95, 8), (223, 16), (479, 32), (991, 64), (2_015, 128), (4_063, 256)];

    /// The number of the interval a magnitude falls in.
    fn reference_number(magnitude: i16, segments: &Segments) -> u8 {
        let magnitude = i32::from(magnitude);
        let segment = segments.iter().rposition(|(start, _)| *start <= magnitude).unwrap();
        let (start, step) = segments[segment];
        (segment as i32 * 16 + ((magnitude - start) / step).min(15)) as u8
    }

    /// The middle of an interval.
    fn reference_value(number: u8, segments: &Segments) -> i16 {
        let (start, step) = segments[usize::from(number >> 4)];
        (start + i32::from(number & 15) * step + step / 2) as i16
    }

    fn reference_encode_mulaw(sample: i16) -> u8 {
        if sample < 0 {
            !reference_number(!sample >> 2, &MULAW) & 0x7f
        } else {
            !reference_number(sample >> 2, &MULAW)
        }
    }

    fn reference_decode_mulaw(code: u8) -> i16 {
        let value = reference_value(!code & 0x7f, &MULAW) * 4;
        if code < 0x80 { -value } else { value }
    }

    fn reference_encode_alaw(sample: i16) -> u8 {
        if sample < 0 {
            reference_number(!sample >> 3, &ALAW) ^ 0x55
        } else {
            reference_number(sample >> 3, &ALAW) ^ 0xd5
        }
    }

    fn reference_decode_alaw(code: u8) -> i16 {
        let value = reference_value((code ^ 0x55) & 0x7f, &ALAW) * 8;
        if code < 0x80 { -value } else { value }
    }

    /// Once with the fastest instructions of this machine, and once without.
    fn on_every_path(check: impl Fn()) {
        check();
        plainly(check);
    }

    #[test]
    fn every_code_decodes_as_the_recommendation_says() {
        on_every_path(|| {
            let codes: Vec<u8> = (0..=255).collect();
            let mut samples = [0; 256];
            decode_mulaw(&codes, &mut samples);
            for (code, sample) in codes.iter().zip(samples) {
                assert_eq!(sample, reference_decode_mulaw(*code), "µ-law {code:#04x}");
            }
            decode_alaw(&codes, &mut samples);
            for (code, sample) in codes.iter().zip(samples) {
                assert_eq!(sample, reference_decode_alaw(*code), "A-law {code:#04x}");
            }
        });
    }

    #[test]
    fn every_sample_encodes_as_the_recommendation_says() {
        on_every_path(|| {
            let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
            let mut codes = vec![0; samples.len()];
            encode_mulaw(&samples, &mut codes);
            for (sample, code) in samples.iter().zip(&codes) {
                assert_eq!(*code, reference_encode_mulaw(*sample), "µ-law {sample}");
            }
            encode_alaw(&samples, &mut codes);
            for (sample, code) in samples.iter().zip(&codes) {
                assert_eq!(*code, reference_encode_alaw(*sample), "A-law {sample}");
            }
        });
    }

    /// Rows of tables 1a, 1b, 2a and 2b as they are printed, times the step of 16 bits: the ends of the scale and of
    /// segments, with the bits in the order they are sent.
    #[test]
    fn rows_of_the_recommendations_tables_are_met() {
        let mulaw = [
            (0b1000_0000, 8_031),
            (0b1000_1111, 4_191),
            (0b1001_0000, 3_999),
            (0b1001_1111, 2_079),
            (0b1010_1111, 1_023),
            (0b1011_1111, 495),
            (0b1100_1111, 231),
            (0b1101_1111, 99),
            (0b1110_1111, 33),
            (0b1111_1110, 2),
            (0b1111_1111, 0),
            (0b0111_1110, -2),
            (0b0110_1111, -33),
            (0b0000_0000, -8_031),
        ];
        let alaw = [
            (0b1111_1111, 4_032),
            (0b1111_0000, 2_112),
            (0b1110_0000, 1_056),
            (0b1101_0000, 528),
            (0b1100_0000, 264),
            (0b1011_0000, 132),
            (0b1010_0000, 66),
            (0b1000_0000, 1),
            (0b0000_0000, -1),
            (0b0111_1111, -4_032),
        ];
        on_every_path(|| {
            let mut sample = [0];
            for (code, value) in mulaw {
                decode_mulaw(&[code], &mut sample);
                assert_eq!(sample, [value * 4], "µ-law {code:08b}");
            }
            for (code, value) in alaw {
                // The tables show the code before its even bits are inverted (note 2).
                decode_alaw(&[code ^ 0x55], &mut sample);
                assert_eq!(sample, [value * 8], "A-law {code:08b}");
            }
        });
    }

    #[test]
    fn runs_of_any_length_are_decoded_to_their_end() {
        let codes: Vec<u8> = (0..100_u8).map(|index| index.wrapping_mul(5)).collect();
        for length in 0..=codes.len() {
            let mut samples = vec![1; length];
            decode_mulaw(&codes[..length], &mut samples);
            assert!(
                samples.iter().zip(&codes).all(|(sample, code)| *sample == mulaw_to_linear(*code)),
                "{length}"
            );
            decode_alaw(&codes[..length], &mut samples);
            assert!(
                samples.iter().zip(&codes).all(|(sample, code)| *sample == alaw_to_linear(*code)),
                "{length}"
            );
        }
    }
}
