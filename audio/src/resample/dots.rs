//! Many phases: 22.05 and 44.1 kHz against the other rates, with 80 to 441 phases.

use std::sync::Arc;

use super::design::Prototype;
use super::kernel;
use super::rows::LANES;
use crate::pcm::Sample;
use crate::simd::{Kernel, widest_of};

/// The coefficients of each output of a period, oldest input first and padded with zeros to whole vectors.
///
/// A long filter has more of them than the nearest cache holds: in this order they come in as one stream.
#[derive(Debug)]
pub(super) struct DotFilter {
    pub(super) up: usize,
    pub(super) down: usize,
    length: usize,
    coefficients: Vec<f32>,
    /// Where the samples of each output begin, from those of the first.
    starts: Vec<usize>,
}

impl DotFilter {
    pub(super) fn new(prototype: &Prototype) -> Self {
        let Prototype { up, down, .. } = *prototype;
        let taps = prototype.taps_per_phase();
        // Long ones are summed two vectors at a time.
        let length = taps.next_multiple_of(if taps <= 3 * LANES { LANES } else { 2 * LANES });
        let coefficients = (0..up)
            .map(|row| row * down % up)
            .flat_map(|phase| (0..length).rev().map(move |back| prototype.tap(phase + back * up) as f32))
            .collect();
        let starts = (0..up).map(|row| row * down / up).collect();
        Self { up, down, length, coefficients, starts }
    }

    /// Fills outputs that lie a period apart, from `row` on; the samples of the first begin `window`.
    fn fill<S: Sample, const PERIODS: usize>(&self, row: usize, window: &[f32], output: [&mut [S]; PERIODS]) {
        let to_the_end = self.up - row;
        let mut output = output.map(|output| output.split_at_mut(output.len().min(to_the_end)));
        let span = Span { filter: self, row, window };
        kernel::dots(&span, output.each_mut().map(|(head, _)| &mut **head));
        let window = window.get(self.down - self.starts[row]..).unwrap_or_default();
        let around = Span { filter: self, row: 0, window };
        kernel::dots(&around, output.each_mut().map(|(_, tail)| &mut **tail));
    }
}

/// The state of one stream.
#[derive(Clone)]
pub(super) struct Dots {
    filter: Arc<DotFilter>,
    /// `length − 1` samples of the past, then the new ones.
    window: Box<[f32]>,
    /// The row of the next output.
    row: usize,
}

impl Dots {
    /// The longest input of one `process`: 20 ms at 48 kHz.
    pub(super) const BLOCK: usize = 960;

    pub(super) fn new(filter: Arc<DotFilter>) -> Self {
        let window = vec![0.0; filter.length - 1 + Self::BLOCK].into_boxed_slice();
        Self { filter, window, row: 0 }
    }

    /// The first output lies `ahead ⁄ up` after the first input.
    pub(super) fn process<I: Sample, O: Sample>(&mut self, input: &[I], ahead: usize, output: &mut [O]) {
        let DotFilter { up, down, length, .. } = *self.filter;
        let past = length - 1;
        widest_of(Fill { input, window: &mut self.window[past..] });
        let mut window = &self.window[ahead / up..];
        let made = output.len();
        let mut pairs = output.chunks_exact_mut(2 * up);
        for pair in &mut pairs {
            // Outputs a period apart take the same row: it is read once for both.
            let (first, second) = pair.split_at_mut(up);
            self.filter.fill(self.row, window, [first, second]);
            window = window.get(2 * down..).unwrap_or_default();
        }
        for period in pairs.into_remainder().chunks_mut(up) {
            self.filter.fill(self.row, window, [period]);
            window = window.get(down..).unwrap_or_default();
        }
        self.row = (self.row + made) % up;
        self.window.copy_within(input.len()..input.len() + past, 0);
    }

    pub(super) fn reset(&mut self) {
        self.window.fill(0.0);
        self.row = 0;
    }
}

/// What outputs that follow one another within a period are made from.
pub(super) struct Span<'a> {
    filter: &'a DotFilter,
    /// The row of the first.
    row: usize,
    /// Begins with the first's samples.
    window: &'a [f32],
}

impl<'a> Span<'a> {
    /// Coefficients and samples of the output at `index`, and the samples of those one and more periods later.
    #[inline(always)]
    pub(super) fn output<const PERIODS: usize>(&self, index: usize) -> (&'a [Lanes], [&'a [Lanes]; PERIODS]) {
        let DotFilter { down, length, coefficients, starts, .. } = self.filter;
        let row = coefficients[(self.row + index) * length..][..*length].as_chunks().0;
        let start = starts[self.row + index] - starts[self.row];
        let mut samples: [&[Lanes]; PERIODS] = [&[]; PERIODS];
        for (period, samples) in samples.iter_mut().enumerate() {
            *samples = self.window[start + period * down..][..*length].as_chunks().0;
        }
        (row, samples)
    }
}

/// For the kernel of few vectors.
#[cfg(target_arch = "x86_64")]
impl<'a> Span<'a> {
    /// Vectors of coefficients of an output.
    pub(super) fn vectors(&self) -> usize {
        self.filter.length / LANES
    }

    /// Coefficients of the first `count` outputs, where the samples of each begin ([`origin`](Self::origin) for the
    /// first), and the samples `period` periods later.
    pub(super) fn parts<const VECTORS: usize>(
        &self,
        period: usize,
        count: usize,
    ) -> (&'a [[Lanes; VECTORS]], &'a [usize], &'a [f32]) {
        let DotFilter { down, length, coefficients, starts, .. } = self.filter;
        let rows = coefficients[self.row * length..].as_chunks().0.as_chunks().0;
        let window = self.window.get(period * down..).unwrap_or_default();
        (&rows[..count], &starts[self.row..][..count], window)
    }

    /// What the starts count from for the first output.
    #[inline(always)]
    pub(super) fn origin(&self) -> usize {
        self.filter.starts[self.row]
    }
}

/// Samples of one vector.
pub(super) type Lanes = [f32; LANES];

/// Puts new samples into the window.
struct Fill<'a, S> {
    input: &'a [S],
    window: &'a mut [f32],
}

impl<S: Sample> Kernel for Fill<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (to, from) in self.window.iter_mut().zip(self.input) {
            let sample = from.to_f32();
            // The phases are padded with zeros, and zero times infinity is no number: a bad sample would be heard for
            // longer than the filter is.
            *to = if sample.is_finite() { sample } else { 0.0 };
        }
    }
}

/// Fills outputs that lie a period apart, each the dot product of its coefficients and samples.
///
/// The plain twin of the vector kernels. It rounds each product before it adds, where they fuse the two.
pub(super) fn dots_plain<S: Sample, const PERIODS: usize>(span: &Span<'_>, mut output: [&mut [S]; PERIODS]) {
    for at in 0..output[0].len() {
        let (row, samples) = span.output::<PERIODS>(at);
        for (output, samples) in output.iter_mut().zip(samples) {
            let mut sums = [[0.0; LANES]; 2];
            for (index, (a, b)) in row.iter().zip(samples).enumerate() {
                for ((sum, a), b) in sums[index % 2].iter_mut().zip(a).zip(b) {
                    *sum += a * b;
                }
            }
            let [a, b, c, d, e, f, g, h] = core::array::from_fn(|lane| sums[0][lane] + sums[1][lane]);
            output[at] = S::from_f32(((a + b) + (c + d)) + ((e + f) + (g + h)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;
    use crate::resample::low_delay;

    #[test]
    fn the_vector_kernel_agrees_with_its_plain_twin_and_pairs_with_single_periods() {
        let long = [(160, 441), (441, 160), (147, 320)]
            .map(|(up, down)| Prototype::design(up, down, Preset::Telephone).0);
        // Of one, two and three vectors.
        let [_, one] = low_delay::halves(441, 160);
        let [two, _] = low_delay::halves(160, 441);
        let [three, _] = low_delay::halves(80, 441);
        for prototype in long.into_iter().chain([one, two, three]) {
            let filter = DotFilter::new(&prototype);
            let DotFilter { up, down, .. } = filter;
            let window: Vec<f32> = (0..2_000).map(|index| (index as f32 * 0.7).sin()).collect();
            let span = |at: usize| Span { filter: &filter, row: 1, window: &window[at..] };
            // Not a whole number of eights.
            let outputs = || vec![0.0_f32; up - 1];
            let (mut plain, mut fast, mut later, mut alone) = (outputs(), outputs(), outputs(), outputs());
            dots_plain(&span(0), [&mut plain]);
            kernel::dots(&span(0), [&mut fast, &mut later]);
            for (plain, fast) in plain.iter().zip(&fast) {
                assert!((plain - fast).abs() < 1e-5, "{up} to {down}");
            }
            kernel::dots(&span(0), [&mut alone]);
            assert_eq!(alone, fast, "{up} to {down}");
            kernel::dots(&span(down), [&mut alone]);
            assert_eq!(alone, later, "{up} to {down}, a period later");
        }
    }
}
