//! Many phases: 22.05 and 44.1 kHz against the other rates, with 80 to 441 phases.

use std::sync::Arc;

use super::design::Prototype;
use super::kernel;
use crate::pcm::Sample;

/// The coefficients of each phase, oldest input first, padded with zeros to whole vectors.
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
        let length = prototype.taps_per_phase().next_multiple_of(super::rows::LANES);
        let coefficients = (0..up)
            .flat_map(|phase| (0..length).rev().map(move |back| prototype.tap(phase + back * up) as f32))
            .collect();
        Self { up, down, length, coefficients }
    }

    fn phase(&self, phase: usize) -> &[f32] {
        &self.coefficients[phase * self.length..][..self.length]
    }
}

/// The state of one stream.
#[derive(Clone)]
pub(super) struct Dots {
    filter: Arc<DotFilter>,
    kernel: kernel::DotKernel,
    /// `length − 1` samples of the past, then the new ones.
    window: Box<[f32]>,
}

impl Dots {
    /// The longest input of one `process`: 20 ms at 48 kHz.
    pub(super) const BLOCK: usize = 960;

    pub(super) fn new(filter: Arc<DotFilter>) -> Self {
        let window = vec![0.0; filter.length - 1 + Self::BLOCK].into_boxed_slice();
        Self { filter, kernel: kernel::dot_kernel(), window }
    }

    /// The first output lies `ahead ⁄ up` after the first input.
    pub(super) fn process<S: Sample>(&mut self, input: &[S], ahead: usize, output: &mut [S]) {
        let DotFilter { up, down, length, .. } = *self.filter;
        let past = length - 1;
        for (to, from) in self.window[past..].iter_mut().zip(input) {
            let sample = from.to_f32();
            // The phases are padded with zeros, and zero times infinity is no number: a bad sample would be heard for
            // longer than the filter is.
            *to = if sample.is_finite() { sample } else { 0.0 };
        }
        let (mut index, mut phase) = (ahead / up, ahead % up);
        let mut next = || {
            let pair = (self.filter.phase(phase), &self.window[index..][..length]);
            (index, phase) = (index + down / up, phase + down % up);
            if phase >= up {
                (index, phase) = (index + 1, phase - up);
            }
            pair
        };
        let (fours, rest) = output.as_chunks_mut::<4>();
        let mut sums = [0.0; 4];
        for four in fours {
            (self.kernel)([next(), next(), next(), next()], &mut sums);
            *four = sums.map(S::from_f32);
        }
        for one in rest {
            (self.kernel)([next(); 4], &mut sums);
            *one = S::from_f32(sums[0]);
        }
        self.window.copy_within(input.len()..input.len() + past, 0);
    }

    pub(super) fn reset(&mut self) {
        self.window.fill(0.0);
    }
}

/// Four dot products, each over slices of one length, a multiple of the lanes.
///
/// The plain twin of the vector kernel, adding in the same order; it rounds each product before it adds.
pub(super) fn dots_plain(pairs: [(&[f32], &[f32]); 4], sums: &mut [f32; 4]) {
    for ((coefficients, samples), sum) in pairs.into_iter().zip(sums) {
        let mut lanes = [0.0; super::rows::LANES];
        let chunks = coefficients.as_chunks().0.iter().zip(samples.as_chunks().0);
        for (a, b) in chunks {
            let (a, b): (&[f32; 8], &[f32; 8]) = (a, b);
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        let [a, b, c, d, e, f, g, h] = lanes;
        *sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    }
}
