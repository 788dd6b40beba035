// A template, for each matmul of a kernel: the second pass of `tile/sum`.

fn product_tile(p: Place, task: Task, lane: u32) {
    let width = p.columns / 4u;
    let at = task.tile * (LANES / p.split) + lane / p.split;
    let share = lane % p.split;
    let i = at / width;
    let j = at % width * 4u;
    var v = vec4f();
    if i < p.rows {
        // rounds: SUMMED / p.split
        for (var part = share; part < SUMMED; part += p.split) {
            v += parts[stored_at(p, part, i, j)];
        }
    }
    if p.split > 1u {
        v = sum_of_shares(v, p.split, lane);
    }
    if share == 0u && i < p.rows {
        product_finish(p, 0u, i, j, v);
    }
}
