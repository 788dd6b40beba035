// The 4x4 blocks of all tiles. A tile calls only matmul_a, matmul_b and matmul_epilogue, which are placeholders for the
// functions of a matmul: see `per_matmul/`.

/// Returns the product of two blocks, one row per matrix column. The matrix columns of `a` are columns of A, those of
/// `b` are rows of B.
fn block_product(a: mat4x4f, b: mat4x4f) -> mat4x4f {
    return outer(a[0], b[0]) + outer(a[1], b[1]) + outer(a[2], b[2]) + outer(a[3], b[3]);
}
