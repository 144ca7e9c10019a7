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
