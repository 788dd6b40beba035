//! Matrix multiplication. This is the only module with unsafe code: it checks the bounds of every matrix before it
//! passes pointers to the gemm crate.
#![allow(unsafe_code, reason = "the gemm crate takes pointers; the bounds of every matrix are checked here")]

use std::ops::Range;

use gemm_common::{Parallelism, cache::CACHE_INFO};
use gemm_f32::gemm::f32::get_gemm_fn;

/// The maximum number of multiplications in a naive loop. Up to this number the loop is faster than a call of the gemm
/// crate, which takes at least about 0.1 us (measured on a Zen 5).
const MAX_NAIVE_MULTIPLICATIONS: usize = 100;

/// A view of a matrix in a slice: element (i, j) is `values[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Creates a view of the first `columns` values of each row; rows start `stride` values apart.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows > 0 && columns > 0 && columns <= stride && values.len() >= (rows - 1) * stride + columns);
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Returns a view of the transposed matrix.
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

/// Computes `into = alpha a b + beta into`, as BLAS does. The rows of `into` start `stride` values apart. If `beta` is
/// 0, the old values of `into` are not read.
pub(crate) fn matmul(a: Matrix<'_>, b: Matrix<'_>, into: &mut [f32], stride: usize, beta: f32, alpha: f32) {
    let size = [a.rows, b.columns, a.columns];
    assert!(a.columns == b.rows && b.columns <= stride && into.len() >= (a.rows - 1) * stride + b.columns);
    // SAFETY: `Matrix::new` checked the bounds of both operands, and `transposed` swaps sizes together with strides.
    // The assertion above checked `into`. It is borrowed exclusively, so it does not overlap an operand.
    unsafe { raw_matmul(size, a.operand(), b.operand(), into.as_mut_ptr(), stride, beta, alpha) }
}

/// Multiplies the columns `from` of a matrix by `b`, and writes the product to the columns of the same matrix that
/// start at `to`. The rows start `stride` values apart.
pub(crate) fn matmul_columns(rows: &mut [f32], stride: usize, from: Range<usize>, b: Matrix<'_>, to: usize) {
    let (count, end) = (rows.len() / stride, to + b.columns);
    assert!(from.len() == b.rows && from.end <= stride && end <= stride && (from.end <= to || end <= from.start));
    let all = rows.as_mut_ptr();
    // SAFETY: both ranges of columns are within each of the `count` complete rows, so all elements are within `rows`.
    // The ranges do not overlap, so no element is both read and written. `Matrix::new` checked `b`, which does not
    // overlap `rows` because `rows` is borrowed exclusively.
    unsafe {
        let a = Operand { pointer: all.add(from.start), row_stride: stride, column_stride: 1 };
        raw_matmul([count, b.columns, b.rows], a, b.operand(), all.add(to), stride, 0.0, 1.0);
    }
}

/// Returns a description of the L1 cache of this CPU. The gemm crate divides long sums into blocks by its size, so
/// another cache may round sums differently.
pub(crate) fn l1_cache_text() -> String {
    let [l1, ..] = *CACHE_INFO;
    format!("L1 cache {} KiB, {}-way", l1.cache_bytes >> 10, l1.associativity)
}

/// The pointer and the strides of a matrix, without its bounds.
#[derive(Clone, Copy)]
struct Operand {
    pointer: *const f32,
    row_stride: usize,
    column_stride: usize,
}

/// Computes `into = alpha a b + beta into` on this thread, for `a` with m x k and `b` with k x n elements.
///
/// # Safety
/// Every element of both operands must be readable for the size [m, n, k]. Every element (i, j) of `into`, at
/// `i * stride + j`, must be readable and writable. `into` must not overlap an operand.
unsafe fn raw_matmul(
    [m, n, k]: [usize; 3],
    a: Operand,
    b: Operand,
    into: *mut f32,
    stride: usize,
    beta: f32,
    alpha: f32,
) {
    if m * n * k <= MAX_NAIVE_MULTIPLICATIONS {
        for i in 0..m {
            for j in 0..n {
                let mut sum = 0.0;
                // SAFETY: i < m, j < n and l < k, and the caller guarantees that these elements are valid.
                unsafe {
                    for l in 0..k {
                        let x = *a.pointer.add(i * a.row_stride + l * a.column_stride);
                        sum += x * *b.pointer.add(l * b.row_stride + j * b.column_stride);
                    }
                    let into = into.add(i * stride + j);
                    *into = if beta == 0.0 { alpha * sum } else { beta * *into + alpha * sum };
                }
            }
        }
        return;
    }
    let (one, stride) = (1, stride as isize);
    let [a_row, a_column, b_row, b_column] =
        [a.row_stride, a.column_stride, b.row_stride, b.column_stride].map(|stride| stride as isize);
    // SAFETY: the caller guarantees that every element of the given size is valid.
    unsafe {
        // The kernels of the crate write columns, but `into` is stored row by row, so compute the transposed product
        // b^T a^T. The crate calls the factor of the old values alpha and the factor of the product beta.
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
            alpha,
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

    /// Returns small integers, so that sums of their products are exact in any order.
    fn integers(len: usize, period: usize) -> Vec<f32> {
        (0..len).map(|i| (i % period) as f32 - 3.0).collect()
    }

    #[test]
    fn matmul_is_correct_for_every_stride_and_writes_only_its_result() {
        for [m, n, k] in
            [[1, 1, 1], [3, 2, 5], [4, 4, 4], [17, 9, 3], [8, 33, 70], [100, 1, 65], [1, 100, 65], [65, 70, 1]]
        {
            let (a, b) = (integers((k + 3) * m.max(k) * 2, 11), integers((n + 5) * k, 7));
            for transposed in [false, true] {
                let left =
                    if transposed { Matrix::new(&a, k, m, m + 2).transposed() } else { Matrix::new(&a, m, k, k + 3) };
                let (row, column) = if transposed { (1, m + 2) } else { (k + 3, 1) };
                let sum =
                    |i: usize, j: usize| (0..k).map(|l| a[i * row + l * column] * b[l * (n + 5) + j]).sum::<f32>();
                for beta in [0.0, 2.0] {
                    let mut into = vec![1.0; m * (n + 4)];
                    matmul(left, Matrix::new(&b, k, n, n + 5), &mut into, n + 4, beta, -3.0);
                    for (at, got) in into.iter().enumerate() {
                        let (i, j) = (at / (n + 4), at % (n + 4));
                        let expected = if j < n { beta - 3.0 * sum(i, j) } else { 1.0 };
                        assert_eq!(*got, expected, "{m}x{n}x{k}, transposed {transposed}, beta {beta}, ({i}, {j})");
                    }
                }
            }
        }
    }

    #[test]
    fn matmul_columns_writes_only_the_target_columns() {
        let (rows, inputs, outputs, stride) = (7, 20, 9, 40);
        let (before, b) = (integers(rows * stride, 13), integers(inputs * outputs, 5));
        let mut after = before.clone();
        matmul_columns(&mut after, stride, 2..2 + inputs, Matrix::new(&b, inputs, outputs, outputs), 25);
        for (at, got) in after.iter().enumerate() {
            let (i, j) = (at / stride, at % stride);
            let product = |j: usize| (0..inputs).map(|l| before[i * stride + 2 + l] * b[l * outputs + j]).sum::<f32>();
            assert_eq!(*got, if (25..25 + outputs).contains(&j) { product(j - 25) } else { before[at] });
        }
    }
}
