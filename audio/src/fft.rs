//! Power-of-two Fourier transforms, for what looks at a spectrum.

use core::f32::consts::TAU;

use crate::simd::{Kernel, widest_of};

/// Transforms a fixed power-of-two number of complex values, real and imaginary parts apart, in place.
///
/// In four steps (D. H. Bailey, 1990): the values are a matrix written row by row; its columns are transformed, turned,
/// and transposed, and the columns of that are transformed. Every inner loop runs along whole rows of lanes with
/// one factor for all of them, which the compiler makes vectors of.
#[derive(Debug, Clone)]
pub(crate) struct Fft {
    rows: usize,
    columns: usize,
    /// `e^{-2πik/rows}` and `e^{-2πik/columns}` for the first half turn.
    row_turns: Vec<(f32, f32)>,
    column_turns: Vec<(f32, f32)>,
    /// `e^{-2πirc/size}` of each row and column.
    twist: Vec<(f32, f32)>,
    scratch: [Vec<f32>; 2],
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
    re: Vec<f32>,
    im: Vec<f32>,
}

impl Fft {
    /// A transform of `size` values.
    ///
    /// # Panics
    ///
    /// Panics unless `size` is a power of two of at least 64.
    pub(crate) fn new(size: usize) -> Self {
        assert!(
            size.is_power_of_two() && size >= LANES * LANES,
            "size {size} is not a power of two of at least {}",
            LANES * LANES
        );
        let rows = 1 << (size.ilog2() / 2);
        let columns = size / rows;
        let angle = |row: usize, column: usize| TAU * (row * column) as f32 / size as f32;
        let twist = (0..rows).flat_map(|row| (0..columns).map(move |column| angle(row, column)));
        Self {
            rows,
            columns,
            row_turns: turns(rows),
            column_turns: turns(columns),
            twist: twist.map(|angle| (angle.cos(), -angle.sin())).collect(),
            scratch: [vec![0.0; size], vec![0.0; size]],
        }
    }

    /// The inverse is the same with real and imaginary parts swapped, `size` times as large.
    ///
    /// # Panics
    ///
    /// Panics unless both parts are as many as the size.
    pub(crate) fn process(&mut self, re: &mut [f32], im: &mut [f32]) {
        let size = self.rows * self.columns;
        assert!(re.len() == size && im.len() == size, "one transform takes {size} values");
        widest_of(FourSteps { fft: self, re, im });
    }
}
/// See [`Fft`].
struct FourSteps<'a> {
    fft: &'a mut Fft,
    re: &'a mut [f32],
    im: &'a mut [f32],
}

impl Kernel for FourSteps<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { fft, re, im } = self;
        let Fft {
            rows,
            columns,
            ref row_turns,
            ref column_turns,
            ref twist,
            scratch: [ref mut other_re, ref mut other_im],
        } = *fft;
        let (mut here, mut there) =
            (Parts { re, im }, Parts { re: &mut other_re[..], im: &mut other_im[..] });
        transform_columns(rows, columns, row_turns, &mut here, &mut there);
        for (row, twist) in twist.chunks_exact(columns).enumerate() {
            let from = here.re[row * columns..].iter().zip(&here.im[row * columns..]);
            let to = there.re[row..].iter_mut().step_by(rows).zip(there.im[row..].iter_mut().step_by(rows));
            for (((re, im), turn), to) in from.zip(twist).zip(to) {
                *to.0 = re * turn.0 - im * turn.1;
                *to.1 = re * turn.1 + im * turn.0;
            }
        }
        transform_columns(columns, rows, column_turns, &mut there, &mut here);
        // Each of the log₂ passes changes sides, and so did the transposition.
        if (rows * columns).ilog2().is_multiple_of(2) {
            here.re.copy_from_slice(there.re);
            here.im.copy_from_slice(there.im);
        }
    }
}

/// Real and imaginary parts of the same values.
struct Parts<'a> {
    re: &'a mut [f32],
    im: &'a mut [f32],
}

/// Transforms each of `columns` columns of `points` values, by Stockham's radix 2, which needs no reordering. Each pass
/// goes from one side to the other; the last one's result is made `values`.
#[inline(always)]
fn transform_columns<'a>(
    points: usize,
    columns: usize,
    turns: &[(f32, f32)],
    values: &mut Parts<'a>,
    scratch: &mut Parts<'a>,
) {
    let (mut span, mut run) = (points, columns);
    while span > 1 {
        let middle = span / 2 * run;
        let (re, im) = (values.re.split_at(middle), values.im.split_at(middle));
        let low = re.0.chunks_exact(run).zip(im.0.chunks_exact(run));
        let high = re.1.chunks_exact(run).zip(im.1.chunks_exact(run));
        let to = scratch.re.chunks_exact_mut(2 * run).zip(scratch.im.chunks_exact_mut(2 * run));
        for (((a, b), to), turn) in low.zip(high).zip(to).zip(turns.iter().step_by(points / span)) {
            butterflies(a, b, to, *turn);
        }
        core::mem::swap(values, scratch);
        (span, run) = (span / 2, run * 2);
    }
}

/// The sums of a run of pairs, and their differences turned.
#[inline(always)]
fn butterflies(
    a: (&[f32], &[f32]),
    b: (&[f32], &[f32]),
    (to_re, to_im): (&mut [f32], &mut [f32]),
    turn: (f32, f32),
) {
    let (re, im) = (to_re.as_chunks_mut::<LANES>().0, to_im.as_chunks_mut::<LANES>().0);
    let (sum_re, turned_re) = re.split_at_mut(re.len() / 2);
    let (sum_im, turned_im) = im.split_at_mut(im.len() / 2);
    let from =
        a.0.as_chunks().0.iter().zip(a.1.as_chunks().0).zip(b.0.as_chunks().0.iter().zip(b.1.as_chunks().0));
    let sums = sum_re.iter_mut().zip(sum_im);
    let turned = turned_re.iter_mut().zip(turned_im);
    for ((((a_re, a_im), (b_re, b_im)), sum), turned) in from.zip(sums).zip(turned) {
        // By value: a lane stored before the next is read would have to be taken for one of those read.
        let (a_re, a_im, b_re, b_im): (Lanes, Lanes, Lanes, Lanes) = (*a_re, *a_im, *b_re, *b_im);
        let re: Lanes = core::array::from_fn(|lane| a_re[lane] - b_re[lane]);
        let im: Lanes = core::array::from_fn(|lane| a_im[lane] - b_im[lane]);
        *sum.0 = core::array::from_fn(|lane| a_re[lane] + b_re[lane]);
        *sum.1 = core::array::from_fn(|lane| a_im[lane] + b_im[lane]);
        *turned.0 = core::array::from_fn(|lane| re[lane] * turn.0 - im[lane] * turn.1);
        *turned.1 = core::array::from_fn(|lane| re[lane] * turn.1 + im[lane] * turn.0);
    }
}
impl PowerSpectrum {
    /// A spectrum over `size` samples under a Hann window.
    ///
    /// # Panics
    ///
    /// Panics unless `size` is a power of two of at least 128.
    #[must_use]
    pub fn new(size: usize) -> Self {
        assert!(size.is_power_of_two() && size >= 128, "size {size} is not a power of two of at least 128");
        let angle = |k: usize| TAU * k as f32 / size as f32;
        Self {
            size,
            window: (0..size).map(|n| 0.5 - 0.5 * angle(n).cos()).collect(),
            twiddles: turns(size),
            half: Fft::new(size / 2),
            re: vec![0.0; size / 2],
            im: vec![0.0; size / 2],
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
        widest_of(Pack { samples, window: &self.window, re: &mut self.re, im: &mut self.im });
        self.half.process(&mut self.re, &mut self.im);
        widest_of(Unpack { re: &self.re, im: &self.im, turns: &self.twiddles, power });
    }
}

/// Windows `samples`: even ones ride as real parts and odd ones as imaginary parts of a transform half the size.
struct Pack<'a> {
    samples: &'a [f32],
    window: &'a [f32],
    re: &'a mut [f32],
    im: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { samples, window, re, im } = self;
        let pairs = samples.as_chunks::<2>().0.iter().zip(window.as_chunks::<2>().0);
        for ((re, im), (pair, window)) in re.iter_mut().zip(im).zip(pairs) {
            (*re, *im) = (pair[0] * window[0], pair[1] * window[1]);
        }
    }
}

/// The power of each bin, from the transform of what [`Pack`] packed.
struct Unpack<'a> {
    re: &'a [f32],
    im: &'a [f32],
    turns: &'a [(f32, f32)],
    power: &'a mut [f32],
}

impl Kernel for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { re, im, turns, power } = self;
        let half = re.len();
        // A Hann window passes half the amplitude, a real sine splits into two bins of half each.
        let scale = 16.0 / (4 * half * half) as f32;
        let bin = |a: (f32, f32), b: (f32, f32), turn: (f32, f32)| {
            let even = (0.5 * (a.0 + b.0), 0.5 * (a.1 - b.1));
            let odd = (0.5 * (a.1 + b.1), 0.5 * (b.0 - a.0));
            let re = even.0 + odd.0 * turn.0 - odd.1 * turn.1;
            let im = even.1 + odd.0 * turn.1 + odd.1 * turn.0;
            (re * re + im * im) * scale
        };
        let first = (re[0], im[0]);
        power[0] = bin(first, first, (1.0, 0.0));
        power[half] = bin(first, first, (-1.0, 0.0));
        let (up, down) = (re[1..].iter().zip(&im[1..]), re[1..].iter().rev().zip(im[1..].iter().rev()));
        for (((a, b), turn), power) in up.zip(down).zip(&turns[1..]).zip(&mut power[1..]) {
            *power = bin((*a.0, *a.1), (*b.0, *b.1), *turn);
        }
    }
}

fn turns(size: usize) -> Vec<(f32, f32)> {
    (0..size / 2).map(|k| TAU * k as f32 / size as f32).map(|angle| (angle.cos(), -angle.sin())).collect()
}

/// `f32` lanes of a vector: the least a run of butterflies has.
const LANES: usize = 8;

type Lanes = [f32; LANES];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_sine_peaks_at_one_in_its_own_bin() {
        for (size, bin) in [(128, 11), (256, 40), (512, 99), (1024, 400), (2048, 1000)] {
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
        let size = 128;
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
