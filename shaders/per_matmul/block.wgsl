// A template, for each matmul of a kernel: the end of a 4x4 block of C.

/// Finishes the block of C at row i and column j, unless it lies outside.
fn matmul_epilogue_block(p: MatmulArgs, part: u32, i: u32, j: u32, c: mat4x4f) {
    if i < p.rows && j < p.columns {
        matmul_epilogue(p, part, i, j, c[0]);
        matmul_epilogue(p, part, i + 1u, j, c[1]);
        matmul_epilogue(p, part, i + 2u, j, c[2]);
        matmul_epilogue(p, part, i + 3u, j, c[3]);
    }
}
