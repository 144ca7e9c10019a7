//! The two inner loops of the resampler, in AVX2 with FMA where the machine has them.

#![expect(unsafe_code, reason = "vector loads and stores, and calls into code compiled for AVX2")]

use super::dots::dots_plain;
use super::rows::{Run, row_plain};

/// Runs of coefficients, input rows, one output row.
pub(super) type RowKernel = fn(&[Run], &[f32], &mut [f32]);

/// Four pairs of coefficients and samples, four sums.
pub(super) type DotKernel = fn([(&[f32], &[f32]); 4], &mut [f32; 4]);

/// The best kernel for this machine; asked once for each resampler.
pub(super) fn row_kernel() -> RowKernel {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::has_avx2() {
        // SAFETY: the features the function is compiled for were just found on this machine.
        return |runs, input, output| unsafe { avx2::row(runs, input, output) };
    }
    row_plain
}

/// The best kernel for this machine; asked once for each resampler.
pub(super) fn dot_kernel() -> DotKernel {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::has_avx2() {
        // SAFETY: the features the function is compiled for were just found on this machine.
        return |pairs, sums| unsafe { avx2::dots(pairs, sums) };
    }
    dots_plain
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::{
        __m256, _mm_add_ps, _mm_storeu_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps,
        _mm256_hadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::Run;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn row(runs: &[Run], input: &[f32], output: &mut [f32]) {
        let lanes = output.as_chunks_mut::<8>().0;
        // Ten sums hide the latency of the additions and leave registers for coefficient and sample.
        let (tens, rest) = lanes.as_chunks_mut::<10>();
        let mut at = 0;
        for tile in tens {
            sum_tile(runs, &input[at..], tile);
            at += 80;
        }
        let (fours, ones) = rest.as_chunks_mut::<4>();
        for tile in fours {
            sum_tile(runs, &input[at..], tile);
            at += 32;
        }
        for tile in ones.as_chunks_mut::<1>().0 {
            sum_tile(runs, &input[at..], tile);
            at += 8;
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn sum_tile<const VECTORS: usize>(runs: &[Run], input: &[f32], output: &mut [[f32; 8]; VECTORS]) {
        let mut sums = [_mm256_setzero_ps(); VECTORS];
        for run in runs {
            for (coefficient, samples) in
                run.coefficients.iter().zip(input[run.offset..].windows(8 * VECTORS))
            {
                let coefficient = _mm256_set1_ps(*coefficient);
                // An array, not a slice: a loop of known length is unrolled, and the sums stay in registers.
                let Some(samples) = samples.as_chunks().0.first_chunk::<VECTORS>() else {
                    unreachable!("a window has the length that was asked for");
                };
                for (sum, samples) in sums.iter_mut().zip(samples) {
                    *sum = _mm256_fmadd_ps(coefficient, load(samples), *sum);
                }
            }
        }
        for (to, sum) in output.iter_mut().zip(sums) {
            // SAFETY: the array has room for the eight lanes.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), sum) };
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dots(pairs: [(&[f32], &[f32]); 4], sums: &mut [f32; 4]) {
        let mut lanes = [_mm256_setzero_ps(); 4];
        for ((coefficients, samples), lanes) in pairs.into_iter().zip(&mut lanes) {
            let chunks = coefficients.as_chunks().0.iter().zip(samples.as_chunks().0);
            for (coefficients, samples) in chunks {
                *lanes = _mm256_fmadd_ps(load(coefficients), load(samples), *lanes);
            }
        }
        let [a, b, c, d] = lanes;
        let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        let whole = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
        // SAFETY: the array has room for the four lanes.
        unsafe { _mm_storeu_ps(sums.as_mut_ptr(), whole) };
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(samples: &[f32; 8]) -> __m256 {
        // SAFETY: the array has the eight lanes.
        unsafe { _mm256_loadu_ps(samples.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(length: usize) -> Vec<f32> {
        (0..length).map(|index| (index as f32 * 0.7).sin()).collect()
    }

    #[test]
    fn the_row_kernel_agrees_with_its_plain_twin() {
        let input = wave(2_000);
        let runs: Vec<Run> = (0..4)
            .map(|run| Run {
                offset: 391 * run,
                coefficients: wave(17 + run).iter().map(|x| x / 17.0).collect(),
            })
            .collect();
        for lanes in 0..=40 {
            let mut plain = vec![0.0; lanes * 8];
            let mut fast = plain.clone();
            row_plain(&runs, &input, &mut plain);
            row_kernel()(&runs, &input, &mut fast);
            for (plain, fast) in plain.iter().zip(fast) {
                assert!((plain - fast).abs() < 1e-5, "{lanes} vectors");
            }
        }
    }

    #[test]
    fn the_dot_kernel_agrees_with_its_plain_twin() {
        let (a, b) = (wave(96), wave(99));
        let pairs = core::array::from_fn(|index| (&a[..], &b[index..][..96]));
        let (mut plain, mut fast) = ([0.0; 4], [0.0; 4]);
        dots_plain(pairs, &mut plain);
        dot_kernel()(pairs, &mut fast);
        for (plain, fast) in plain.iter().zip(fast) {
            assert!((plain - fast).abs() < 1e-5);
        }
    }
}
