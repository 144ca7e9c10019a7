//! Turning a stream into rows and rows into a stream.

use super::rows::LANES;
use crate::pcm::Sample;
use crate::simd::{Kernel, widest_of};

/// Deals `input` out to `rows` rows, `stride` apart, as if `started` samples had come before it.
pub(super) fn columns_to_rows<S: Sample>(
    input: &[S],
    started: usize,
    rows: usize,
    to: &mut [f32],
    stride: usize,
) {
    // Up to the first whole column one by one, the whole columns at once, the rest one by one.
    let head = input.len().min((rows - started) % rows);
    let whole = (input.len() - head) / rows;
    let tail = head + whole * rows;
    for (index, sample) in input[..head].iter().enumerate() {
        to[(started + index) * stride] = sample.to_f32();
    }
    let first = usize::from(started > 0);
    let columns = &input[head..tail];
    match rows {
        1 => deal::<S, 1>(columns, first, to, stride),
        2 => deal::<S, 2>(columns, first, to, stride),
        3 => deal::<S, 3>(columns, first, to, stride),
        4 => deal::<S, 4>(columns, first, to, stride),
        6 => deal::<S, 6>(columns, first, to, stride),
        _ => unreachable!("no two of the rates that share 8,000 Hz have another ratio"),
    }
    for (row, sample) in input[tail..].iter().enumerate() {
        to[row * stride + first + whole] = sample.to_f32();
    }
}

/// Fills `output` with what `rows` rows, `stride` apart, hold column by column, from sample `first` on.
pub(super) fn rows_to_columns<S: Sample>(
    from: &[f32],
    stride: usize,
    first: usize,
    rows: usize,
    output: &mut [S],
) {
    let head = output.len().min((rows - first % rows) % rows);
    let whole = (output.len() - head) / rows;
    let tail = head + whole * rows;
    for (index, sample) in output[..head].iter_mut().enumerate() {
        let at = first + index;
        *sample = S::from_f32(from[at % rows * stride + at / rows]);
    }
    let column = (first + head) / rows;
    let columns = &mut output[head..tail];
    match rows {
        1 => collect::<S, 1>(from, stride, column, columns),
        2 => collect::<S, 2>(from, stride, column, columns),
        3 => collect::<S, 3>(from, stride, column, columns),
        4 => collect::<S, 4>(from, stride, column, columns),
        6 => collect::<S, 6>(from, stride, column, columns),
        _ => unreachable!("no two of the rates that share 8,000 Hz have another ratio"),
    }
    for (row, sample) in output[tail..].iter_mut().enumerate() {
        *sample = S::from_f32(from[row * stride + column + whole]);
    }
}

fn deal<S: Sample, const ROWS: usize>(input: &[S], first: usize, to: &mut [f32], stride: usize) {
    let columns = input.as_chunks::<ROWS>().0;
    let mut rows = to.chunks_mut(stride).map(|row| &mut row[first..first + columns.len()]);
    widest_of(Deal { columns, rows: core::array::from_fn(|_| rows.next().unwrap_or_default()) });
}

fn collect<S: Sample, const ROWS: usize>(from: &[f32], stride: usize, first: usize, output: &mut [S]) {
    let columns = output.as_chunks_mut::<ROWS>().0;
    let rows = core::array::from_fn(|row| &from[row * stride + first..][..columns.len()]);
    widest_of(Collect { columns, rows });
}

/// Columns to rows of as many samples.
struct Deal<'a, S, const ROWS: usize> {
    columns: &'a [[S; ROWS]],
    rows: [&'a mut [f32]; ROWS],
}

impl<S: Sample, const ROWS: usize> Kernel for Deal<'_, S, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { columns, rows } = self;
        let mut rows = rows.map(|row| row.as_chunks_mut::<LANES>());
        let (blocks, rest) = columns.as_chunks::<LANES>();
        for (index, block) in blocks.iter().enumerate() {
            let mut floats = [[0.0; ROWS]; LANES];
            for (to, sample) in floats.as_flattened_mut().iter_mut().zip(block.as_flattened()) {
                *to = sample.to_f32();
            }
            for (row, (lanes, _)) in rows.iter_mut().enumerate() {
                lanes[index] = core::array::from_fn(|lane| floats[lane][row]);
            }
        }
        for (row, (_, lanes)) in rows.iter_mut().enumerate() {
            for (to, column) in lanes.iter_mut().zip(rest) {
                *to = column[row].to_f32();
            }
        }
    }
}

/// Rows to columns of as many samples.
struct Collect<'a, S, const ROWS: usize> {
    columns: &'a mut [[S; ROWS]],
    rows: [&'a [f32]; ROWS],
}

impl<S: Sample, const ROWS: usize> Kernel for Collect<'_, S, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { columns, rows } = self;
        let rows = rows.map(|row| row.as_chunks::<LANES>());
        let (blocks, rest) = columns.as_chunks_mut::<LANES>();
        for (index, block) in blocks.iter_mut().enumerate() {
            // In two steps, so that samples of 16 bits are converted in their order, many at a time.
            let mut floats = [[0.0; ROWS]; LANES];
            for (row, (lanes, _)) in rows.iter().enumerate() {
                for (column, sample) in floats.iter_mut().zip(&lanes[index]) {
                    column[row] = *sample;
                }
            }
            for (to, sample) in block.as_flattened_mut().iter_mut().zip(floats.as_flattened()) {
                *to = S::from_f32(*sample);
            }
        }
        for (row, (_, lanes)) in rows.iter().enumerate() {
            for (column, sample) in rest.iter_mut().zip(*lanes) {
                column[row] = S::from_f32(*sample);
            }
        }
    }
}
