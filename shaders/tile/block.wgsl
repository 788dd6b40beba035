// What the tiles share: 4x4 blocks. A tile calls matmul_a, matmul_b and matmul_epilogue, and knows nothing else
// of the matmul. Those names are placeholders: see `per_matmul/`.

/// The product of a block of A, one of its columns a column, and a block of B, one of its rows a column: one row of C a
/// column.
fn block_product(a: mat4x4f, b: mat4x4f) -> mat4x4f {
    return outer(a[0], b[0]) + outer(a[1], b[1]) + outer(a[2], b[2]) + outer(a[3], b[3]);
}
