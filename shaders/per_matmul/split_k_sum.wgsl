// A template, for each matmul of a kernel: the second pass of `tile/sum`.

fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let width = p.columns / 4u;
    let at = task.tile * (INVOCATIONS / p.sliced_k) + local / p.sliced_k;
    let share = local % p.sliced_k;
    let i = at / width;
    let j = at % width * 4u;
    var v = vec4f();
    if i < p.rows {
        // rounds: PARTIAL_SUMS / p.sliced_k
        for (var part = share; part < PARTIAL_SUMS; part += p.sliced_k) {
            v += partial_sums[partial_sum_offset(p, part, i, j)];
        }
    }
    if p.sliced_k > 1u {
        v = sum_vec4_slices(v, p.sliced_k, local);
    }
    if share == 0u && i < p.rows {
        matmul_epilogue(p, 0u, i, j, v);
    }
}
