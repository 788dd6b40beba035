// C = the sum of its partial sums: the second pass of split-K, see `tile/split_k_sum`. A template, instantiated once
// per matmul.

/// Computes INVOCATIONS / sliced_k vec4s of C. Each invocation adds every sliced_k-th partial sum of one vec4.
fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let width = p.columns / 4u;
    let index = task.tile * (INVOCATIONS / p.sliced_k) + local / p.sliced_k;
    let slice = local % p.sliced_k;
    let i = index / width;
    let j = index % width * 4u;
    var v = vec4f();
    if i < p.rows {
        // rounds: PARTIAL_SUMS / p.sliced_k
        for (var partial_index = slice; partial_index < PARTIAL_SUMS; partial_index += p.sliced_k) {
            v += partial_sums[partial_sum_offset(p, partial_index, i, j)];
        }
    }
    if p.sliced_k > 1u {
        v = sum_vec4_slices(v, p.sliced_k, local);
    }
    if slice == 0u && i < p.rows {
        matmul_epilogue(p, 0u, i, j, v);
    }
}
