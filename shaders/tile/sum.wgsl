// No product but the second pass of one that was computed in parts: an invocation adds up a vec4 of all of them, in
// their order, and finishes it.

// For each product of a kernel:

fn product_tile(p: Place, task: Task, lane: u32) {
    let width = p.columns / 4u;
    let at = task.tile * LANES + lane;
    if at < p.rows * width {
        let i = at / width;
        let j = at % width * 4u;
        var v = vec4f();
        for (var part = 0u; part < SUMMED; part++) {
            v += parts[stored_at(p, part, i, j)];
        }
        product_finish(p, 0u, i, j, v);
    }
}
