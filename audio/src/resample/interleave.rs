//! Turning a stream into rows and rows into a stream.

use crate::pcm::Sample;
use crate::simd::widest;

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
    let mut rows: [&mut [f32]; ROWS] = core::array::from_fn(|_| rows.next().unwrap_or_default());
    widest(|| {
        for (index, column) in columns.iter().enumerate() {
            for (row, sample) in rows.iter_mut().zip(column) {
                row[index] = sample.to_f32();
            }
        }
    });
}

fn collect<S: Sample, const ROWS: usize>(from: &[f32], stride: usize, first: usize, output: &mut [S]) {
    let columns = output.as_chunks_mut::<ROWS>().0;
    let rows: [&[f32]; ROWS] = core::array::from_fn(|row| &from[row * stride + first..][..columns.len()]);
    widest(|| {
        for (index, column) in columns.iter_mut().enumerate() {
            for (sample, row) in column.iter_mut().zip(rows) {
                *sample = S::from_f32(row[index]);
            }
        }
    });
}
