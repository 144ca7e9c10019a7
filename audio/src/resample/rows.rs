//! Few phases: the ratios among 8, 16, 24, 32 and 48 kHz.
//!
//! Every `down` inputs make `up` outputs. Written as a matrix with one such group a column, the input is `down` rows,
//! the output `up` rows, and each output row is a sum of input rows, shifted and scaled: the inner loop runs along
//! the rows, many outputs at a time, with neither a horizontal sum nor a gather.

use std::sync::Arc;

use super::design::Prototype;
use super::interleave::{columns_to_rows, rows_to_columns};
use super::kernel;
use crate::pcm::Sample;

/// Coefficients of neighbouring samples of one input row.
#[derive(Debug)]
pub(super) struct Run {
    /// Where the first one's sample stands for column zero; each next one's stands one further.
    pub(super) offset: usize,
    pub(super) coefficients: Vec<f32>,
}

/// The coefficients of each output row.
#[derive(Debug)]
pub(super) struct RowFilter {
    pub(super) up: usize,
    pub(super) down: usize,
    /// Columns of the past that are kept.
    history: usize,
    /// Samples from one input row to the next.
    stride: usize,
    phases: Vec<Vec<Run>>,
}

impl RowFilter {
    pub(super) fn new(prototype: &Prototype) -> Self {
        let Prototype { up, down, .. } = *prototype;
        let history = prototype.taps_per_phase().div_ceil(down);
        let stride = history + COLUMNS + LANES;
        let phases = (0..up)
            .map(|row| {
                // Output `row` of a group lies `phase ⁄ up` after input `newest` of the same group.
                let (newest, phase) = (row * down / up, row * down % up);
                let mut taps: Vec<(usize, f32)> = (0..prototype.taps_per_phase())
                    .map(|back| {
                        let index = history * down + newest - back;
                        (index % down * stride + index / down, prototype.tap(phase + back * up) as f32)
                    })
                    .filter(|(_, coefficient)| *coefficient != 0.0)
                    .collect();
                taps.sort_unstable_by_key(|(offset, _)| *offset);
                // The zeros of an L-th band filter fall on whole rows, so that few runs remain.
                taps.chunk_by(|(a, _), (b, _)| a + 1 == *b)
                    .map(|run| Run {
                        offset: run[0].0,
                        coefficients: run.iter().map(|(_, coefficient)| *coefficient).collect(),
                    })
                    .collect()
            })
            .collect();
        Self { up, down, history, stride, phases }
    }
}

/// The state of one stream.
#[derive(Clone)]
pub(super) struct Rows {
    filter: Arc<RowFilter>,
    kernel: kernel::RowKernel,
    /// `down` rows of `stride` samples: `history` columns of the past, then the new ones.
    input: Box<[f32]>,
    /// `up` rows of `COLUMNS + LANES` samples.
    output: Box<[f32]>,
    /// Inputs of the column that is not whole yet.
    started: usize,
}

impl Rows {
    pub(super) fn new(filter: Arc<RowFilter>) -> Self {
        let input = vec![0.0; filter.down * filter.stride].into_boxed_slice();
        let output = vec![0.0; filter.up * OUTPUT_STRIDE].into_boxed_slice();
        Self { filter, kernel: kernel::row_kernel(), input, output, started: 0 }
    }

    /// The longest input of one `process`.
    pub(super) fn block(&self) -> usize {
        (COLUMNS - 1) * self.filter.down
    }

    pub(super) fn process<I: Sample, O: Sample>(&mut self, input: &[I], output: &mut [O]) {
        let RowFilter { up, down, history, stride, phases } = &*self.filter;
        let filled = self.started + input.len();
        let columns = filled.div_ceil(*down);
        columns_to_rows(input, self.started, *down, &mut self.input[*history..], *stride);
        // Whole vectors: what the lanes past the last column make of old samples is never read.
        let lanes = columns.next_multiple_of(LANES);
        for (runs, row) in phases.iter().zip(self.output.chunks_exact_mut(OUTPUT_STRIDE)) {
            (self.kernel)(runs, &self.input, &mut row[..lanes]);
        }
        // Outputs of the column that is not whole are made as soon as their newest input is there.
        let first = (self.started * up).div_ceil(*down);
        rows_to_columns(&self.output, OUTPUT_STRIDE, first, *up, output);

        let whole = filled / down;
        for row in self.input.chunks_exact_mut(*stride) {
            row.copy_within(whole..whole + history + 1, 0);
        }
        self.started = filled % down;
    }

    pub(super) fn reset(&mut self) {
        self.input.fill(0.0);
        self.started = 0;
    }
}

/// Adds up one output row; its length is a multiple of [`LANES`].
///
/// The plain twin of the vector kernel. It rounds each product before it adds, where the other fuses the two.
pub(super) fn row_plain(runs: &[Run], input: &[f32], output: &mut [f32]) {
    for (index, lanes) in output.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut sums = [0.0; LANES];
        for run in runs {
            let windows = input[run.offset + index * LANES..].windows(LANES);
            for (coefficient, samples) in run.coefficients.iter().zip(windows) {
                for (sum, sample) in sums.iter_mut().zip(samples) {
                    *sum += coefficient * sample;
                }
            }
        }
        *lanes = sums;
    }
}

/// Phases up to which rows pay: 8 to 48 kHz has six, and after it comes 80.
pub(super) const MAX_PHASES: usize = 6;

/// `f32` lanes of a vector.
pub(super) const LANES: usize = 8;

/// Columns of one block: 20 ms of any of these ratios, and room for a column that was begun before.
const COLUMNS: usize = 448;

const OUTPUT_STRIDE: usize = COLUMNS + LANES;
