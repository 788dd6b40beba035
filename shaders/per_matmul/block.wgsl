// The epilogue of a 4x4 block of C. A template, instantiated once per matmul.

/// Applies the epilogue to the block c of C at row i and column j, unless it is outside of C.
fn matmul_epilogue_block(p: MatmulArgs, partial_index: u32, i: u32, j: u32, c: mat4x4f) {
    if i < p.rows && j < p.columns {
        matmul_epilogue(p, partial_index, i, j, c[0]);
        matmul_epilogue(p, partial_index, i + 1u, j, c[1]);
        matmul_epilogue(p, partial_index, i + 2u, j, c[2]);
        matmul_epilogue(p, partial_index, i + 3u, j, c[3]);
    }
}
