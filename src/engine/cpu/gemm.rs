//! Matrix products: the one module with unsafe code. Everything that the pointers may touch is checked before a call.
#![allow(unsafe_code, reason = "the gemm crate takes pointers; the bounds of every matrix are checked here")]

use std::ops::Range;

use gemm_common::{Parallelism, cache::CACHE_INFO};
use gemm_f32::gemm::f32::get_gemm_fn;

/// Up to so many multiplications a plain loop is faster than the crate, which needs about 0.1 us for a call (measured
/// on a Zen 5).
const MAX_NAIVE_MULTIPLICATIONS: usize = 100;

/// A matrix in a slice: element (i, j) is `values[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The first `columns` of rows that lie `stride` apart.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows > 0 && columns > 0 && columns <= stride && values.len() >= (rows - 1) * stride + columns);
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    pub(crate) const fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    const fn operand(&self) -> Operand {
        Operand { pointer: self.values.as_ptr(), row_stride: self.row_stride, column_stride: self.column_stride }
    }
}

/// `into = keep * into + scale * a b`, where the rows of `into` lie `stride` apart; with `keep` 0 it is not read.
pub(crate) fn matmul(a: Matrix<'_>, b: Matrix<'_>, into: &mut [f32], stride: usize, beta: f32, scale: f32) {
    let size = [a.rows, b.columns, a.columns];
    assert!(a.columns == b.rows && b.columns <= stride && into.len() >= (a.rows - 1) * stride + b.columns);
    // SAFETY: `Matrix::new` checked both operands, transposing swaps sizes with strides, and `into` was checked above;
    // it is borrowed exclusively, so it overlaps neither.
    unsafe { raw_matmul(size, a.operand(), b.operand(), into.as_mut_ptr(), stride, beta, scale) }
}

/// Within rows that lie `stride` apart: the columns from `to` on become the columns `from` times `b`.
pub(crate) fn matmul_columns(rows: &mut [f32], stride: usize, from: Range<usize>, b: Matrix<'_>, to: usize) {
    let (count, end) = (rows.len() / stride, to + b.columns);
    assert!(from.len() == b.rows && from.end <= stride && end <= stride && (from.end <= to || end <= from.start));
    let all = rows.as_mut_ptr();
    // SAFETY: both ranges of columns lie within each of the `count` whole rows of `stride` that `rows` has, so all
    // elements lie within `rows`; the ranges do not overlap, so no element is both read and written. `b` was checked by
    // `Matrix::new` and is no part of `rows`, which is borrowed exclusively.
    unsafe {
        let a = Operand { pointer: all.add(from.start), row_stride: stride, column_stride: 1 };
        raw_matmul([count, b.columns, b.rows], a, b.operand(), all.add(to), stride, 0.0, 1.0);
    }
}

/// What the crate cuts long sums into blocks by, beside the sizes of a product: another CPU's may round them otherwise.
pub(crate) fn l1_cache_text() -> String {
    let [first, ..] = *CACHE_INFO;
    format!("first cache {} KiB in {} ways", first.cache_bytes >> 10, first.associativity)
}

/// A matrix without its bounds.
#[derive(Clone, Copy)]
struct Operand {
    pointer: *const f32,
    row_stride: usize,
    column_stride: usize,
}

/// The product of `a`, m x k, and `b`, k x n, on this thread.
///
/// # Safety
/// For the size [m, n, k] every element of both operands has to be readable, every element (i, j) of `into`, at
/// `i * stride + j`, writable, and none of these may be one of those.
unsafe fn raw_matmul(
    [m, n, k]: [usize; 3],
    a: Operand,
    b: Operand,
    into: *mut f32,
    stride: usize,
    beta: f32,
    scale: f32,
) {
    if m * n * k <= MAX_NAIVE_MULTIPLICATIONS {
        for i in 0..m {
            for j in 0..n {
                let mut sum = 0.0;
                // SAFETY: i < m, j < n and l < k, and the caller vouches for all of these.
                unsafe {
                    for l in 0..k {
                        let x = *a.pointer.add(i * a.row_stride + l * a.column_stride);
                        sum += x * *b.pointer.add(l * b.row_stride + j * b.column_stride);
                    }
                    let into = into.add(i * stride + j);
                    *into = if beta == 0.0 { scale * sum } else { beta * *into + scale * sum };
                }
            }
        }
        return;
    }
    let (one, stride) = (1, stride as isize);
    let [a_row, a_column, b_row, b_column] =
        [a.row_stride, a.column_stride, b.row_stride, b.column_stride].map(|stride| stride as isize);
    // SAFETY: the caller vouches for every element within the size.
    unsafe {
        // Turned over, `into` being row by row: the crate's kernels write columns.
        get_gemm_fn()(
            n,
            m,
            k,
            into,
            stride,
            one,
            beta != 0.0,
            b.pointer,
            b_row,
            b_column,
            a.pointer,
            a_row,
            a_column,
            beta,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers: their products are exact, whatever the order of the sum.
    fn numbers(len: usize, period: usize) -> Vec<f32> {
        (0..len).map(|i| (i % period) as f32 - 3.0).collect()
    }

    #[test]
    fn products_are_right_at_every_stride_and_write_nothing_else() {
        for [m, n, k] in
            [[1, 1, 1], [3, 2, 5], [4, 4, 4], [17, 9, 3], [8, 33, 70], [100, 1, 65], [1, 100, 65], [65, 70, 1]]
        {
            let (a, b) = (numbers((k + 3) * m.max(k) * 2, 11), numbers((n + 5) * k, 7));
            for transposed in [false, true] {
                let left =
                    if transposed { Matrix::new(&a, k, m, m + 2).transposed() } else { Matrix::new(&a, m, k, k + 3) };
                let (row, column) = if transposed { (1, m + 2) } else { (k + 3, 1) };
                let sum =
                    |i: usize, j: usize| (0..k).map(|l| a[i * row + l * column] * b[l * (n + 5) + j]).sum::<f32>();
                for keep in [0.0, 2.0] {
                    let mut into = vec![1.0; m * (n + 4)];
                    matmul(left, Matrix::new(&b, k, n, n + 5), &mut into, n + 4, keep, -3.0);
                    for (at, got) in into.iter().enumerate() {
                        let (i, j) = (at / (n + 4), at % (n + 4));
                        let expected = if j < n { keep - 3.0 * sum(i, j) } else { 1.0 };
                        assert_eq!(*got, expected, "{m}x{n}x{k}, transposed {transposed}, keep {keep}, ({i}, {j})");
                    }
                }
            }
        }
    }

    #[test]
    fn columns_are_multiplied_within_their_rows() {
        let (rows, inputs, outputs, stride) = (7, 20, 9, 40);
        let (before, b) = (numbers(rows * stride, 13), numbers(inputs * outputs, 5));
        let mut after = before.clone();
        matmul_columns(&mut after, stride, 2..2 + inputs, Matrix::new(&b, inputs, outputs, outputs), 25);
        for (at, got) in after.iter().enumerate() {
            let (i, j) = (at / stride, at % stride);
            let product = |j: usize| (0..inputs).map(|l| before[i * stride + 2 + l] * b[l * outputs + j]).sum::<f32>();
            assert_eq!(*got, if (25..25 + outputs).contains(&j) { product(j - 25) } else { before[at] });
        }
    }
}
