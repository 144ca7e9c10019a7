//! The frequency weighting of loudness.

use crate::SampleRate;
use crate::tame::tame;

/// The two filters of BS.1770: a shelf for the head, and a high-pass for what the ear hears less of.
#[derive(Debug, Clone)]
pub(crate) struct KWeighting {
    shelf: Biquad,
    high_pass: Biquad,
}

impl KWeighting {
    /// The analogue prototypes behind the standard's 48 kHz coefficients, transformed to `rate`: B. De Man,
    /// "Evaluation of Implementations of the EBU R128 Loudness Measurement" (2018).
    pub(crate) fn new(rate: SampleRate) -> Self {
        let hz = f64::from(rate.hz());
        let k = (core::f64::consts::PI * 1_681.974_450_955_533 / hz).tan();
        let (q, gain) = (0.707_175_236_955_419_6, 10f64.powf(3.999_843_853_973_347 / 20.0));
        let middle = gain.powf(0.499_666_774_154_541_6);
        let a0 = 1.0 + k / q + k * k;
        let shelf = Biquad::new(
            [
                (gain + middle * k / q + k * k) / a0,
                2.0 * (k * k - gain) / a0,
                (gain - middle * k / q + k * k) / a0,
            ],
            [2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0],
        );
        let k = (core::f64::consts::PI * 38.135_470_876_024_44 / hz).tan();
        let q = 0.500_327_037_323_877_3;
        let a0 = 1.0 + k / q + k * k;
        let high_pass = Biquad::new([1.0, -2.0, 1.0], [2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0]);
        Self { shelf, high_pass }
    }

    #[inline]
    pub(crate) fn next(&mut self, sample: f32) -> f64 {
        self.high_pass.next(self.shelf.next(f64::from(tame(sample))))
    }

    pub(crate) const fn reset(&mut self) {
        self.shelf.state = [0.0; 2];
        self.high_pass.state = [0.0; 2];
    }
}

/// Second order, transposed direct form II. Double precision: the high-pass sits at a thousandth of the rate.
#[derive(Debug, Clone)]
struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
    state: [f64; 2],
}

impl Biquad {
    const fn new(b: [f64; 3], a: [f64; 2]) -> Self {
        Self { b, a, state: [0.0; 2] }
    }

    #[inline]
    fn next(&mut self, x: f64) -> f64 {
        // The tiny offset keeps the state from dying away into denormals, at -400 dB.
        let y = self.b[0] * x + self.state[0] + 1e-20;
        self.state[0] = self.b[1] * x - self.a[0] * y + self.state[1];
        self.state[1] = self.b[2] * x - self.a[1] * y;
        y
    }
}
