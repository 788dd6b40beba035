// What the tiles share: 4x4 blocks. A tile calls product_left, product_right and product_finish, and knows nothing else
// of the product; the linker puts in whose they are.

/// The product of a block of A, one of its columns a column, and a block of B, one of its rows a column: one row of C a
/// column.
fn block_product(a: mat4x4f, b: mat4x4f) -> mat4x4f {
    return outer(a[0], b[0]) + outer(a[1], b[1]) + outer(a[2], b[2]) + outer(a[3], b[3]);
}

// For each product of a kernel:

/// Finishes the block of C at row i and column j, unless it lies outside.
fn product_finish_block(p: Place, part: u32, i: u32, j: u32, c: mat4x4f) {
    if i < p.rows && j < p.columns {
        product_finish(p, part, i, j, c[0]);
        product_finish(p, part, i + 1u, j, c[1]);
        product_finish(p, part, i + 2u, j, c[2]);
        product_finish(p, part, i + 3u, j, c[3]);
    }
}
