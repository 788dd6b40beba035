// A template, for each matmul of a kernel: a matmul of the rows that a workgroup of `entry/fused` holds.

/// C = A B for the rows of A that are staged_rows, in whose place come those of C.
fn matmul_block(p: MatmulArgs, first: u32, local: u32) {
    let depth = p.depth / 4u;
    let across = p.columns / 4u;
    let i = local / across * 4u;
    let j = local % across;
    let is_there = i < rows_in_block(first);
    var c = mat4x4f();
    if is_there {
        // rounds: p.depth / 4
        for (var k = 0u; k < depth; k++) {
            c += matmul_b(p, 4u * k, 4u * j) * staged_block(i * depth + k, depth);
        }
    }
    workgroupBarrier();
    if is_there {
        staged_rows[i * across + j] = matmul_epilogue(p, 0u, first + i, 4u * j, c[0]);
        staged_rows[(i + 1u) * across + j] = matmul_epilogue(p, 0u, first + i + 1u, 4u * j, c[1]);
        staged_rows[(i + 2u) * across + j] = matmul_epilogue(p, 0u, first + i + 2u, 4u * j, c[2]);
        staged_rows[(i + 3u) * across + j] = matmul_epilogue(p, 0u, first + i + 3u, 4u * j, c[3]);
    }
    workgroupBarrier();
}
