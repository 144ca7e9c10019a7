//! Many phases: 22.05 and 44.1 kHz against the other rates, with 80 to 441 phases.

use std::sync::Arc;

use super::design::Prototype;
use super::kernel;
use super::rows::LANES;
use crate::pcm::Sample;
use crate::simd::{Kernel, widest_of};

/// The coefficients of each phase, in the order the outputs of a period take them, each oldest input first and padded
/// with zeros to whole pairs of vectors.
///
/// A strict filter has three times what the nearest cache holds: in this order they come in as one stream.
#[derive(Debug)]
pub(super) struct DotFilter {
    up: usize,
    down: usize,
    length: usize,
    coefficients: Vec<f32>,
}

impl DotFilter {
    pub(super) fn new(prototype: &Prototype) -> Self {
        let Prototype { up, down, .. } = *prototype;
        let length = prototype.taps_per_phase().next_multiple_of(2 * LANES);
        let coefficients = (0..up)
            .map(|row| row * down % up)
            .flat_map(|phase| (0..length).rev().map(move |back| prototype.tap(phase + back * up) as f32))
            .collect();
        Self { up, down, length, coefficients }
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
    pub(super) fn process<S: Sample>(&mut self, input: &[S], ahead: usize, output: &mut [S]) {
        let DotFilter { up, down, length, .. } = *self.filter;
        let past = length - 1;
        widest_of(Fill { input, window: &mut self.window[past..] });
        let mut walk = Walk {
            filter: &self.filter,
            window: &self.window,
            row: self.row,
            index: ahead / up,
            phase: ahead % up,
            step: (down / up, down % up),
        };
        let mut pairs = output.chunks_exact_mut(2 * up);
        for pair in &mut pairs {
            // Outputs a period apart take the same row: it is read once for both.
            let (first, second) = pair.split_at_mut(up);
            kernel::dots(&mut walk, [first, second]);
            walk.index += down;
        }
        kernel::dots(&mut walk, [pairs.into_remainder()]);
        self.row = walk.row;
        self.window.copy_within(input.len()..input.len() + past, 0);
    }

    pub(super) fn reset(&mut self) {
        self.window.fill(0.0);
        self.row = 0;
    }
}

/// What the outputs are made from, one after the other.
pub(super) struct Walk<'a> {
    filter: &'a DotFilter,
    window: &'a [f32],
    row: usize,
    /// The first sample of the next output.
    index: usize,
    /// How far the next output lies after its newest sample, in 1 ⁄ `up`.
    phase: usize,
    /// From one output to the next: whole samples, and the rest in 1 ⁄ `up`.
    step: (usize, usize),
}

impl<'a> Walk<'a> {
    /// Coefficients and samples of the next output, and the samples of those one and more periods later.
    #[inline(always)]
    pub(super) fn next<const PERIODS: usize>(&mut self) -> (&'a [Lanes], [&'a [Lanes]; PERIODS]) {
        let DotFilter { up, down, length, coefficients } = self.filter;
        let row = coefficients[self.row * length..][..*length].as_chunks().0;
        let mut samples: [&[Lanes]; PERIODS] = [&[]; PERIODS];
        for (period, samples) in samples.iter_mut().enumerate() {
            *samples = self.window[self.index + period * down..][..*length].as_chunks().0;
        }
        self.row = if self.row + 1 == *up { 0 } else { self.row + 1 };
        (self.index, self.phase) = (self.index + self.step.0, self.phase + self.step.1);
        if self.phase >= *up {
            (self.index, self.phase) = (self.index + 1, self.phase - up);
        }
        (row, samples)
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
/// The plain twin of the vector kernel, adding in the same order; it rounds each product before it adds.
pub(super) fn dots_plain<S: Sample, const PERIODS: usize>(
    walk: &mut Walk<'_>,
    mut output: [&mut [S]; PERIODS],
) {
    for at in 0..output[0].len() {
        let (row, samples) = walk.next::<PERIODS>();
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

    #[test]
    fn the_vector_kernel_agrees_with_its_plain_twin_and_pairs_with_single_periods() {
        for (up, down) in [(160, 441), (441, 160), (147, 320)] {
            let filter = DotFilter::new(&Prototype::design(up, down, Preset::Telephone));
            let window: Vec<f32> = (0..2_000).map(|index| (index as f32 * 0.7).sin()).collect();
            let walk = |index, phase| Walk {
                filter: &filter,
                window: &window,
                row: 0,
                index,
                phase,
                step: (down / up, down % up),
            };
            // Neither a whole number of fours nor of periods.
            let (mut plain, mut fast, mut later) =
                (vec![0.0_f32; up - 1], vec![0.0; up - 1], vec![0.0; up - 1]);
            dots_plain(&mut walk(0, 0), [&mut plain]);
            kernel::dots(&mut walk(0, 0), [&mut fast, &mut later]);
            for (plain, fast) in plain.iter().zip(&fast) {
                assert!((plain - fast).abs() < 1e-5, "{up} to {down}");
            }
            let mut alone = vec![0.0; up - 1];
            kernel::dots(&mut walk(0, 0), [&mut alone]);
            assert_eq!(alone, fast, "{up} to {down}");
            kernel::dots(&mut walk(down, 0), [&mut alone]);
            assert_eq!(alone, later, "{up} to {down}, a period later");
        }
    }
}
