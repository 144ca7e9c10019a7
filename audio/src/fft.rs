//! Power-of-two Fourier transforms, for what looks at a spectrum.

use core::f32::consts::TAU;

/// Transforms a fixed power-of-two number of complex values, `(real, imaginary)`, in place.
#[derive(Debug, Clone)]
pub(crate) struct Fft {
    /// `e^{-2πik/size}` for the first half turn.
    twiddles: Vec<(f32, f32)>,
}

/// Transforms a fixed power-of-two number of real samples, under a Hann window, into the power of each bin.
///
/// ```
/// use voxline_audio::PowerSpectrum;
///
/// let mut spectrum = PowerSpectrum::new(256);
/// let tone: Vec<f32> = (0..256).map(|n| (n as f32 * std::f32::consts::TAU * 32.0 / 256.0).sin()).collect();
/// let mut power = vec![0.0; spectrum.bins()];
/// spectrum.process(&tone, &mut power);
/// // At 8 kHz, bin 32 of 256 samples is 1 kHz.
/// assert!((power[32] - 1.0).abs() < 1e-3 && power[64] < 1e-6);
/// ```
#[derive(Debug, Clone)]
pub struct PowerSpectrum {
    size: usize,
    window: Vec<f32>,
    /// `e^{-2πik/size}` for the first half turn.
    twiddles: Vec<(f32, f32)>,
    half: Fft,
    scratch: Vec<(f32, f32)>,
}

impl Fft {
    /// A transform of `size` values.
    ///
    /// # Panics
    ///
    /// Panics unless `size` is a power of two.
    pub(crate) fn new(size: usize) -> Self {
        assert!(size.is_power_of_two(), "size {size} is not a power of two");
        Self { twiddles: turns(size) }
    }

    /// Radix 2, decimation in time. The inverse is the same with real and imaginary parts swapped before and after,
    /// `size` times as large.
    ///
    /// # Panics
    ///
    /// Panics unless `values` are as many as the size.
    pub(crate) fn process(&self, values: &mut [(f32, f32)]) {
        let n = values.len();
        assert_eq!(n / 2, self.twiddles.len(), "one transform takes {} values", 2 * self.twiddles.len());
        let mut j = 0;
        for i in 1..n {
            let mut bit = n >> 1;
            while j & bit != 0 {
                j ^= bit;
                bit >>= 1;
            }
            j |= bit;
            if i < j {
                values.swap(i, j);
            }
        }
        let mut span = 2;
        while span <= n {
            let turns = self.twiddles.iter().step_by(n / span);
            for block in values.chunks_exact_mut(span) {
                let (low, high) = block.split_at_mut(span / 2);
                for ((a, b), turn) in low.iter_mut().zip(high).zip(turns.clone()) {
                    let t = (b.0 * turn.0 - b.1 * turn.1, b.0 * turn.1 + b.1 * turn.0);
                    *b = (a.0 - t.0, a.1 - t.1);
                    *a = (a.0 + t.0, a.1 + t.1);
                }
            }
            span *= 2;
        }
    }
}

impl PowerSpectrum {
    /// A spectrum over `size` samples under a Hann window.
    ///
    /// # Panics
    ///
    /// Panics unless `size` is a power of two of at least 4.
    #[must_use]
    pub fn new(size: usize) -> Self {
        assert!(size.is_power_of_two() && size >= 4, "size {size} is not a power of two of at least 4");
        let angle = |k: usize| TAU * k as f32 / size as f32;
        Self {
            size,
            window: (0..size).map(|n| 0.5 - 0.5 * angle(n).cos()).collect(),
            twiddles: turns(size),
            half: Fft::new(size / 2),
            scratch: vec![(0.0, 0.0); size / 2],
        }
    }

    /// Bins one transform gives: 0 Hz to the Nyquist frequency, both included.
    #[must_use]
    pub const fn bins(&self) -> usize {
        self.size / 2 + 1
    }

    /// Writes the power of each bin of the windowed `samples`, scaled so that a full-scale sine peaks at 1.
    ///
    /// # Panics
    ///
    /// Panics unless `samples` has `size` samples and `power` [`bins`](Self::bins) bins.
    pub fn process(&mut self, samples: &[f32], power: &mut [f32]) {
        assert_eq!(samples.len(), self.size, "one transform takes {} samples", self.size);
        assert_eq!(power.len(), self.bins(), "one transform gives {} bins", self.bins());
        // Even samples ride as real parts and odd ones as imaginary parts of a transform half the size.
        for (slot, (pair, window)) in
            self.scratch.iter_mut().zip(samples.chunks_exact(2).zip(self.window.chunks_exact(2)))
        {
            *slot = (pair[0] * window[0], pair[1] * window[1]);
        }
        self.half.process(&mut self.scratch);
        let half = self.size / 2;
        // A Hann window passes half the amplitude, a real sine splits into two bins of half each.
        let scale = 16.0 / (self.size as f32 * self.size as f32);
        for (k, out) in power.iter_mut().enumerate() {
            let (a, b) = (self.scratch[k % half], self.scratch[(half - k) % half]);
            let even = (0.5 * (a.0 + b.0), 0.5 * (a.1 - b.1));
            let odd = (0.5 * (a.1 + b.1), 0.5 * (b.0 - a.0));
            let turn = if k == half { (-1.0, 0.0) } else { self.twiddles[k] };
            let re = even.0 + odd.0 * turn.0 - odd.1 * turn.1;
            let im = even.1 + odd.0 * turn.1 + odd.1 * turn.0;
            *out = (re * re + im * im) * scale;
        }
    }
}

fn turns(size: usize) -> Vec<(f32, f32)> {
    (0..size / 2).map(|k| TAU * k as f32 / size as f32).map(|angle| (angle.cos(), -angle.sin())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_sine_peaks_at_one_in_its_own_bin() {
        for (size, bin) in [(64, 5), (256, 40), (1024, 400)] {
            let mut spectrum = PowerSpectrum::new(size);
            let sine: Vec<f32> =
                (0..size).map(|n| (TAU * (bin * n) as f32 / size as f32 + 0.3).sin()).collect();
            let mut power = vec![0.0; spectrum.bins()];
            spectrum.process(&sine, &mut power);
            assert!((power[bin] - 1.0).abs() < 1e-3, "{size}: {}", power[bin]);
            let rest: f32 =
                power.iter().enumerate().filter(|(k, _)| k.abs_diff(bin) > 1).map(|(_, p)| p).sum();
            assert!(rest < 1e-6, "{size}: {rest} outside the main lobe");
        }
    }

    #[test]
    fn it_equals_the_plain_sum() {
        let size = 32;
        let samples: Vec<f32> = (0..size).map(|n| ((n * n) as f32 * 0.37).sin()).collect();
        let mut spectrum = PowerSpectrum::new(size);
        let mut power = vec![0.0; spectrum.bins()];
        spectrum.process(&samples, &mut power);
        for (k, got) in power.iter().enumerate() {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in samples.iter().enumerate() {
                let hann = 0.5 - 0.5 * (TAU * n as f32 / size as f32).cos();
                let angle = TAU * (k * n) as f32 / size as f32;
                re += sample * hann * angle.cos();
                im -= sample * hann * angle.sin();
            }
            let expected = (re * re + im * im) * 16.0 / (size * size) as f32;
            assert!((got - expected).abs() < 1e-4, "bin {k}: {got} against {expected}");
        }
    }
}
