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
    #[cfg(test)]
    if tests::is_plain() {
        return false;
    }
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
pub(crate) use tests::plainly;

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::{
        DtmfDetector, DtmfEvent, DtmfGenerator, Gain, LightDenoiser, PowerSpectrum, Preset, Resampler,
        SampleRate, denoise::Denoise, level, mix, pcm,
    };

    thread_local! {
        static PLAIN: Cell<bool> = const { Cell::new(false) };
    }

    type Job = fn(Vec<f32>) -> Vec<f32>;

    /// Whether this thread does without fast instructions.
    pub(super) fn is_plain() -> bool {
        PLAIN.get()
    }

    /// Runs what a machine without fast instructions would.
    pub(crate) fn plainly<R>(kernel: impl FnOnce() -> R) -> R {
        PLAIN.set(true);
        let result = kernel();
        PLAIN.set(false);
        result
    }

    /// Waves of all sizes, with what arithmetic stumbles over.
    fn samples() -> Vec<f32> {
        let mut samples: Vec<f32> =
            (0..4_003).map(|n| 1.3 * (n as f32 * 0.7).sin() * (n as f32 * 0.01).cos()).collect();
        for (at, odd) in
            [(40, f32::INFINITY), (41, f32::MAX), (130, f32::MIN_POSITIVE), (131, -1e-40), (200, -0.0)]
        {
            samples[at] = odd;
        }
        samples
    }

    /// When four keys went down and up.
    fn heard_keys(rate: SampleRate) -> Vec<f32> {
        let mut sound = vec![0.0; rate.hz() as usize];
        DtmfGenerator::new(rate, "159D").unwrap().fill(&mut sound);
        let mut times = Vec::new();
        DtmfDetector::new(rate).process(&sound, |event| match event {
            DtmfEvent::Ended { at, .. } | DtmfEvent::Started { at, .. } => times.push(at as f32),
        });
        assert_eq!(times.len(), 8);
        times
    }

    #[test]
    fn kernels_of_one_source_give_the_same_bits_on_every_machine() {
        let kernels: [(&str, Job); 7] = [
            ("background", |mut x| {
                let voice = x.clone();
                mix::add(&mut x, &voice);
                mix::add_scaled(&mut x, &voice, 0.3);
                mix::soft_limit(&mut x);
                x
            }),
            ("conversion", |x| {
                let (mut narrow, mut wide) = (vec![0; x.len()], x.clone());
                pcm::f32_to_i16(&x, &mut narrow);
                pcm::i16_to_f32(&narrow, &mut wide);
                wide
            }),
            ("gain", |mut x| {
                let mut gain = Gain::new(0.1);
                gain.set_target(0.7);
                x.chunks_mut(333).for_each(|frame| gain.process(frame));
                x
            }),
            ("noise reduction", |mut x| {
                LightDenoiser::new(SampleRate::Hz8000).process(&mut x);
                x
            }),
            ("peak", |x| x.chunks(37).map(level::peak).collect()),
            ("spectrum", |x| {
                let mut spectrum = PowerSpectrum::new(256);
                let mut power = vec![0.0; spectrum.bins()];
                // The odd samples stand in the first two.
                let frames = x.chunks_exact(256).skip(2);
                frames
                    .flat_map(|x| {
                        spectrum.process(x, &mut power);
                        power.clone()
                    })
                    .collect()
            }),
            ("key signals", |_| SampleRate::ALL.into_iter().flat_map(heard_keys).collect()),
        ];
        for (name, kernel) in kernels {
            let (fast, plain) = (kernel(samples()), plainly(|| kernel(samples())));
            let differ = fast.iter().zip(&plain).position(|(fast, plain)| fast.to_bits() != plain.to_bits());
            assert_eq!((differ, fast.len()), (None, plain.len()), "{name}");
        }
    }

    #[test]
    fn sums_of_products_agree_to_the_last_bits_on_every_machine() {
        let tame: Vec<f32> = samples().into_iter().map(crate::tame::tame).collect();
        for (from, to) in SampleRate::ALL.into_iter().flat_map(|from| SampleRate::ALL.map(|to| (from, to))) {
            for preset in [Preset::Detector, Preset::Strict, Preset::Telephone] {
                let resample = || {
                    let mut resampler = Resampler::with_preset(from, to, preset);
                    let mut output = vec![0.0; resampler.output_len(tame.len())];
                    resampler.process(&tame, &mut output);
                    output
                };
                let (fast, plain) = (resample(), plainly(resample));
                let apart = fast.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // 23 bits of ±8, which is the most that goes in, a few times over.
                assert!(apart < 1e-5, "{from} to {to}, {preset:?}: {apart}");
            }
        }
        let (fast, plain) = (level::rms(&tame), plainly(|| level::rms(&tame)));
        assert!((fast - plain).abs() < 1e-5 * fast);
    }

    #[test]
    fn a_dot_product_of_any_length_agrees_with_its_plain_twin() {
        let wave: Vec<f32> = (0..200).map(|index| (index as f32 * 0.7).sin()).collect();
        for length in 0..100 {
            let (a, b) = (&wave[..length], &wave[91..91 + length]);
            assert!((dot(a, b) - dot_plain(a, b)).abs() < 1e-5, "{length}");
        }
    }
}
