//! The two inner loops of the resampler, in AVX2 with FMA where the machine has them.

#![expect(unsafe_code, reason = "vector loads and stores, and calls into code compiled for AVX2")]

use super::dots::{Span, dots_plain};
use super::rows::{Run, row_plain};
use crate::pcm::Sample;

/// Runs of coefficients, input rows, one output row.
pub(super) type RowKernel = fn(&[Run], &[f32], &mut [f32]);

/// The best kernel for this machine; asked once for each resampler.
pub(super) fn row_kernel() -> RowKernel {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::has_avx2() {
        // SAFETY: the features the function is compiled for were just found on this machine.
        return |runs, input, output| unsafe { avx2::row(runs, input, output) };
    }
    row_plain
}

/// Fills outputs that lie a period apart with the best kernel for this machine.
pub(super) fn dots<S: Sample, const PERIODS: usize>(span: &Span<'_>, output: [&mut [S]; PERIODS]) {
    #[cfg(target_arch = "x86_64")]
    if crate::simd::has_avx2() {
        // SAFETY: the features the function is compiled for were just found on this machine.
        return unsafe { avx2::dots(span, output) };
    }
    dots_plain(span, output);
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::{
        __m256, _mm_add_ps, _mm_storeu_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps,
        _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::Run;
    use crate::pcm::Sample;
    use crate::resample::dots::{Lanes, Span};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn row(runs: &[Run], input: &[f32], output: &mut [f32]) {
        let (mut lanes, mut input) = (output.as_chunks_mut::<8>().0, input);
        // Up to ten sums leave registers for coefficients and samples. Tiles are as even as they can be, since few sums
        // at a time do not hide the latency of the additions.
        for tiles in (1..=lanes.len().div_ceil(10)).rev() {
            let size = lanes.len().div_ceil(tiles);
            let (tile, rest) = lanes.split_at_mut(size);
            match size {
                1 => sum_tile::<1>(runs, input, tile),
                2 => sum_tile::<2>(runs, input, tile),
                3 => sum_tile::<3>(runs, input, tile),
                4 => sum_tile::<4>(runs, input, tile),
                5 => sum_tile::<5>(runs, input, tile),
                6 => sum_tile::<6>(runs, input, tile),
                7 => sum_tile::<7>(runs, input, tile),
                8 => sum_tile::<8>(runs, input, tile),
                9 => sum_tile::<9>(runs, input, tile),
                10 => sum_tile::<10>(runs, input, tile),
                _ => unreachable!("no tile is larger than ten"),
            }
            (lanes, input) = (rest, &input[8 * size..]);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn sum_tile<const VECTORS: usize>(runs: &[Run], input: &[f32], output: &mut [[f32; 8]]) {
        let mut sums = [_mm256_setzero_ps(); VECTORS];
        for run in runs {
            let (blocks, rest) = if run.coefficients.len() < PAIRED {
                (&[][..], &run.coefficients[..])
            } else {
                run.coefficients.as_chunks::<16>()
            };
            let mut samples = &input[run.offset..];
            for block in blocks {
                for tap in 0..8 {
                    add_pair(&mut sums, [block[tap], block[tap + 8]], &samples[tap..]);
                }
                samples = &samples[16..];
            }
            for (coefficient, samples) in rest.iter().zip(samples.windows(8 * VECTORS)) {
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

    /// Adds two taps that lie a vector apart: each vector is loaded once for both.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add_pair<const VECTORS: usize>(sums: &mut [__m256; VECTORS], taps: [f32; 2], samples: &[f32]) {
        let [near, far] = taps.map(|tap| _mm256_set1_ps(tap));
        let (Some(samples), Some(last)) =
            (samples.as_chunks().0.first_chunk::<VECTORS>(), samples[8 * VECTORS..].first_chunk())
        else {
            unreachable!("the input holds the samples of every tap");
        };
        let mut now = load(&samples[0]);
        for (vector, sum) in sums.iter_mut().enumerate() {
            let next = load(samples.get(vector + 1).unwrap_or(last));
            *sum = _mm256_fmadd_ps(far, next, _mm256_fmadd_ps(near, now, *sum));
            now = next;
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dots<S: Sample, const PERIODS: usize>(span: &Span<'_>, output: [&mut [S]; PERIODS]) {
        match span.vectors() {
            1 => short::<S, 1, PERIODS>(span, output),
            2 => short::<S, 2, PERIODS>(span, output),
            3 => short::<S, 3, PERIODS>(span, output),
            _ => long(span, output),
        }
    }

    /// Dot products of so few vectors that what goes on around them counts most.
    #[target_feature(enable = "avx2,fma")]
    fn short<S: Sample, const VECTORS: usize, const PERIODS: usize>(
        span: &Span<'_>,
        output: [&mut [S]; PERIODS],
    ) {
        for (period, output) in output.into_iter().enumerate() {
            let (rows, starts, window) = span.parts::<VECTORS>(period, output.len());
            let (eights, rest) = output.as_chunks_mut::<8>();
            let (row_eights, row_rest) = rows.as_chunks::<8>();
            let (start_eights, start_rest) = starts.as_chunks::<8>();
            for ((output, rows), starts) in eights.iter_mut().zip(row_eights).zip(start_eights) {
                let mut sums = [_mm256_setzero_ps(); 8];
                for ((sum, row), start) in sums.iter_mut().zip(rows).zip(starts) {
                    *sum = short_dot(row, &window[*start - span.origin()..]);
                }
                *output = across_eight(sums).map(S::from_f32);
            }
            for ((output, row), start) in rest.iter_mut().zip(row_rest).zip(start_rest) {
                let sum = short_dot(row, &window[*start - span.origin()..]);
                *output = S::from_f32(across_eight([sum; 8])[0]);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn short_dot<const VECTORS: usize>(row: &[Lanes; VECTORS], samples: &[f32]) -> __m256 {
        let mut sum = _mm256_setzero_ps();
        let Some(samples) = samples.as_chunks().0.first_chunk::<VECTORS>() else {
            unreachable!("the window holds the samples of every output");
        };
        for (coefficients, samples) in row.iter().zip(samples) {
            sum = _mm256_fmadd_ps(load(coefficients), load(samples), sum);
        }
        sum
    }

    /// Dot products of many vectors.
    #[target_feature(enable = "avx2,fma")]
    fn long<S: Sample, const PERIODS: usize>(span: &Span<'_>, mut output: [&mut [S]; PERIODS]) {
        let length = output[0].len();
        for at in (0..length).step_by(4) {
            // One reduction for four; those past the end are never put anywhere.
            let count = (length - at).min(4);
            let mut sums = [[_mm256_setzero_ps(); 4]; PERIODS];
            for index in 0..count {
                let (row, samples) = span.output::<PERIODS>(at + index);
                for (sums, sum) in sums.iter_mut().zip(dot(row, samples)) {
                    sums[index] = sum;
                }
            }
            for (output, sums) in output.iter_mut().zip(sums) {
                let made = across_four(sums).map(S::from_f32);
                match output[at..].first_chunk_mut() {
                    Some(whole) => *whole = made,
                    None => output[at..].copy_from_slice(&made[..count]),
                }
            }
        }
    }

    /// Two sums by turns for each run of samples, to hide the latency of the additions.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn dot<const PERIODS: usize>(row: &[Lanes], samples: [&[Lanes]; PERIODS]) -> [__m256; PERIODS] {
        let row = row.as_chunks::<2>().0;
        // Of one length for the compiler too, which then leaves out the checks.
        let mut pairs: [&[[Lanes; 2]]; PERIODS] = [&[]; PERIODS];
        for period in 0..PERIODS {
            pairs[period] = &samples[period].as_chunks().0[..row.len()];
        }
        let (mut even, mut odd) = ([_mm256_setzero_ps(); PERIODS], [_mm256_setzero_ps(); PERIODS]);
        for (at, coefficients) in row.iter().enumerate() {
            let (first, second) = (load(&coefficients[0]), load(&coefficients[1]));
            for period in 0..PERIODS {
                even[period] = _mm256_fmadd_ps(first, load(&pairs[period][at][0]), even[period]);
                odd[period] = _mm256_fmadd_ps(second, load(&pairs[period][at][1]), odd[period]);
            }
        }
        for period in 0..PERIODS {
            even[period] = _mm256_add_ps(even[period], odd[period]);
        }
        even
    }

    /// The sum of the lanes of each of four vectors.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn across_four(vectors: [__m256; 4]) -> [f32; 4] {
        let halves = halves(vectors);
        let whole = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
        let mut sums = [0.0; 4];
        // SAFETY: the array has room for the four lanes.
        unsafe { _mm_storeu_ps(sums.as_mut_ptr(), whole) };
        sums
    }

    /// The sum of the lanes of each of eight vectors.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn across_eight([a, b, c, d, e, f, g, h]: [__m256; 8]) -> [f32; 8] {
        let (low, high) = (halves([a, b, c, d]), halves([e, f, g, h]));
        let whole = _mm256_add_ps(
            _mm256_permute2f128_ps::<0x20>(low, high),
            _mm256_permute2f128_ps::<0x31>(low, high),
        );
        let mut sums = [0.0; 8];
        // SAFETY: the array has room for the eight lanes.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), whole) };
        sums
    }

    /// The sums of the lanes of each half of four vectors.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn halves([a, b, c, d]: [__m256; 4]) -> __m256 {
        _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(samples: &[f32; 8]) -> __m256 {
        // SAFETY: the array has the eight lanes.
        unsafe { _mm256_loadu_ps(samples.as_ptr()) }
    }

    /// Coefficients from which a run is paired. Pairs are added in another order: the shorter runs of the filters with a
    /// linear phase keep the samples they have always made, to the bit.
    const PAIRED: usize = 16;
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
                // Below the length that is paired, and above it with a rest.
                coefficients: wave(17 + 13 * run).iter().map(|x| x / 50.0).collect(),
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
}
