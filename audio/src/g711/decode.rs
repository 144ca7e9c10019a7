//! The decoders for AVX2: both laws, 32 codes at a time.
//!
//! A decoded sample is ±((2 × step + 33) × 2ˢᵉᵍᵐᵉⁿᵗ − bias), times a power of two. Both factors are looked up in tables
//! of sixteen bytes, which is one shuffle; sign and bias ride along in the one instruction that multiplies bytes and
//! adds the products in pairs.

#![expect(unsafe_code, reason = "vector loads and stores, and calls into code compiled for AVX2")]

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_maddubs_epi16,
    _mm256_or_si256, _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_shuffle_epi8, _mm256_sign_epi8,
    _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
    _mm256_xor_si256,
};

/// What a law looks like to the vector decoder.
#[derive(Debug)]
pub(super) struct Law {
    /// Makes the low seven bits segment and step.
    toggle: u8,
    /// What the step is multiplied by, for each segment.
    powers: [u8; 16],
    /// Twice the step, and its segment's start, for each step.
    steps: [u8; 16],
    /// What is added to the product, for each segment.
    biases: [i8; 16],
    /// The unit of all these, as a power of two.
    shift: Shift,
}

#[derive(Debug)]
enum Shift {
    Two,
    Three,
}

pub(super) const MULAW: Law = Law {
    toggle: 0x7f,
    powers: [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0],
    steps: STEPS,
    biases: [-33; 16],
    shift: Shift::Two,
};

pub(super) const ALAW: Law = Law {
    toggle: 0x55,
    powers: [1, 1, 2, 4, 8, 16, 32, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    steps: STEPS,
    // Segment 0 is segment 1 without its start.
    biases: [-32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    shift: Shift::Three,
};

const STEPS: [u8; 16] = [33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63];

/// Decodes as many whole vectors as there are, if this machine can, and returns how many codes that were.
#[cfg(target_arch = "x86_64")]
pub(super) fn decode_vectors(law: &Law, codes: &[u8], samples: &mut [i16]) -> usize {
    if !crate::simd::has_avx2() {
        return 0;
    }
    // SAFETY: the features the function is compiled for were just found on this machine.
    unsafe { decode_avx2(law, codes, samples) }
}

/// Other machines do well with the plain loop.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn decode_vectors(_: &Law, _: &[u8], _: &mut [i16]) -> usize {
    0
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn decode_avx2(law: &Law, codes: &[u8], samples: &mut [i16]) -> usize {
    let (powers, steps) = (table(law.powers), table(law.steps));
    let biases = table(law.biases.map(i8::cast_unsigned));
    let (nibble, one, sign) = (_mm256_set1_epi8(15), _mm256_set1_epi8(1), _mm256_set1_epi8(i8::MIN));
    let toggle = _mm256_set1_epi8(law.toggle.cast_signed());
    let (codes, _) = codes.as_chunks::<32>();
    let (samples, _) = samples.as_chunks_mut::<32>();
    for (codes, samples) in codes.iter().zip(samples) {
        // SAFETY: the array has the 32 bytes.
        let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) };
        // The halves of the vector are unpacked separately: hand each the quarters that will stand in order.
        let codes = _mm256_xor_si256(_mm256_permute4x64_epi64::<0b11_01_10_00>(codes), toggle);
        let step = _mm256_and_si256(codes, nibble);
        // The sign bit is not part of the segment.
        let segment = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), _mm256_set1_epi8(7));
        // Negative where the top bit is clear, and never zero, which would make the sample zero.
        let polarity = _mm256_or_si256(_mm256_xor_si256(codes, sign), one);
        let power = _mm256_shuffle_epi8(powers, segment);
        let factor = _mm256_sign_epi8(_mm256_shuffle_epi8(steps, step), polarity);
        let bias = _mm256_sign_epi8(_mm256_shuffle_epi8(biases, segment), polarity);
        // power × factor + 1 × bias
        let low = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(power, one), _mm256_unpacklo_epi8(factor, bias));
        let high = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(power, one), _mm256_unpackhi_epi8(factor, bias));
        let (low, high) = match law.shift {
            Shift::Two => (_mm256_slli_epi16::<2>(low), _mm256_slli_epi16::<2>(high)),
            Shift::Three => (_mm256_slli_epi16::<3>(low), _mm256_slli_epi16::<3>(high)),
        };
        let (first, second) = samples.split_at_mut(16);
        // SAFETY: each half has room for the sixteen lanes.
        unsafe {
            _mm256_storeu_si256(first.as_mut_ptr().cast(), low);
            _mm256_storeu_si256(second.as_mut_ptr().cast(), high);
        }
    }
    32 * codes.len()
}

/// One table in both halves, where a shuffle looks it up.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn table(bytes: [u8; 16]) -> __m256i {
    // SAFETY: the array has the 16 bytes.
    let bytes = unsafe { core::arch::x86_64::_mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(bytes)
}
