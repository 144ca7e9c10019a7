//! The one place where a kernel meets the machine it runs on.

#![expect(unsafe_code, reason = "a function compiled for AVX2 may only run where the machine has AVX2")]

/// Runs `kernel` compiled for the widest vectors this machine has.
///
/// The kernel is plain branch-free Rust, inlined twice: once for the baseline of the target and once for
/// AVX2 with FMA. On aarch64 NEON is the baseline. Both compile the same source, and Rust never fuses a
/// multiply and an add on its own, so both give the same bits.
#[inline]
pub(crate) fn widest<R>(kernel: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features the function is compiled for were just found on this machine.
        return unsafe { with_avx2(kernel) };
    }
    kernel()
}

/// A kernel too large for the compiler to inline of its own accord, whose `run` is marked `#[inline(always)]`.
///
/// A closure cannot be marked, and one that is not inlined is compiled for the baseline alone.
pub(crate) trait Kernel {
    type Output;

    fn run(self) -> Self::Output;
}

/// As [`widest`], for a [`Kernel`].
#[inline]
pub(crate) fn widest_of<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features the function is compiled for were just found on this machine.
        return unsafe { with_avx2_of(kernel) };
    }
    kernel.run()
}

/// The sum of products of two runs of equal length, in an order of the machine's own: the last bits may differ.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the features the function is compiled for were just found on this machine.
        return unsafe { avx2::dot(a, b) };
    }
    dot_plain(a, b)
}

/// Kept as sixteen partial sums: a float sum in strict order is one long chain the compiler may not split.
fn dot_plain(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.into_iter().chain(a_rest.iter().zip(b_rest).map(|(a, b)| a * b)).sum()
}

/// Whether the machine has AVX2 and FMA; the answer is cached by `std` after the first call.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<R>(kernel: impl FnOnce() -> R) -> R {
    kernel()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2_of<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::{
        __m256, _mm_add_ps, _mm_cvtss_f32, _mm_hadd_ps, _mm256_add_ps, _mm256_castps256_ps128,
        _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps,
    };

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
        let ((a, a_few), (b, b_few)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
        // Four sums hide the latency of the additions.
        let mut sums = [_mm256_setzero_ps(); 4];
        for (a, b) in a.iter().zip(b) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum = _mm256_fmadd_ps(load(a), load(b), *sum);
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(a_few).zip(b_few) {
            *sum = _mm256_fmadd_ps(load(a), load(b), *sum);
        }
        let whole = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
        let four = _mm_add_ps(_mm256_castps256_ps128(whole), _mm256_extractf128_ps::<1>(whole));
        let two = _mm_hadd_ps(four, four);
        let mut sum = _mm_cvtss_f32(_mm_hadd_ps(two, two));
        for (a, b) in a_rest.iter().zip(b_rest) {
            sum += a * b;
        }
        sum
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

    #[test]
    fn a_dot_product_of_any_length_agrees_with_its_plain_twin() {
        let wave: Vec<f32> = (0..200).map(|index| (index as f32 * 0.7).sin()).collect();
        for length in 0..100 {
            let (a, b) = (&wave[..length], &wave[91..91 + length]);
            assert!((dot(a, b) - dot_plain(a, b)).abs() < 1e-5, "{length}");
        }
    }
}
