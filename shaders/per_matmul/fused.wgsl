// C = A B for a block of rows in the workgroup memory of `entry/fused`. A template, instantiated once per matmul.

/// Replaces the rows of A in `staged_rows` by those of C. `first` is the first row of the block; each invocation
/// computes one 4x4 block of C.
fn matmul_block(p: MatmulArgs, first: u32, local: u32) {
    let depth = p.depth / 4u;
    let width = p.columns / 4u;
    let i = local / width * 4u;
    let j = local % width;
    let is_inside = i < rows_in_block(first);
    var c = mat4x4f();
    if is_inside {
        // rounds: p.depth / 4
        for (var k = 0u; k < depth; k++) {
            c += matmul_b(p, 4u * k, 4u * j) * staged_block(i * depth + k, depth);
        }
    }
    workgroupBarrier();
    if is_inside {
        staged_rows[i * width + j] = matmul_epilogue(p, 0u, first + i, 4u * j, c[0]);
        staged_rows[(i + 1u) * width + j] = matmul_epilogue(p, 0u, first + i + 1u, 4u * j, c[1]);
        staged_rows[(i + 2u) * width + j] = matmul_epilogue(p, 0u, first + i + 2u, 4u * j, c[2]);
        staged_rows[(i + 3u) * width + j] = matmul_epilogue(p, 0u, first + i + 3u, 4u * j, c[3]);
    }
    workgroupBarrier();
}
