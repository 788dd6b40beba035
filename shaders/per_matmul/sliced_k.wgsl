// C = A B with sliced-K: see `tile/sliced_k`. A template, instantiated once per matmul.

/// Computes INVOCATIONS / sliced_k blocks of C. Each invocation sums every sliced_k-th term of one 4x4 block.
fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let blocks_per_row = p.columns / 4u;
    let block = task.tile * (INVOCATIONS / p.sliced_k) + local / p.sliced_k;
    let slice = local % p.sliced_k;
    let i = block / blocks_per_row * 4u;
    let j = block % blocks_per_row * 4u;
    var c = mat4x4f();
    // rounds: task.depth / 4 / p.sliced_k
    for (var k = task.start + 4u * slice; k < task.end; k += 4u * p.sliced_k) {
        c += block_product(matmul_a(p, i, k), matmul_b(p, k, j));
    }
    if p.sliced_k > 1u {
        c = sum_block_slices(c, p.sliced_k, local);
    }
    if slice == 0u {
        matmul_epilogue_block(p, task.partial_index, i, j, c);
    }
}
