// No product but the second pass of one that was computed in parts: a vec4 of all of them is added up in their order, by `split`
// invocations where they are many, whose sums are added in a fixed order, too: halves onto halves.

var<workgroup> shares: array<vec4f, LANES>;

// For each product of a kernel:

fn product_tile(p: Place, task: Task, lane: u32) {
    let width = p.columns / 4u;
    let at = task.tile * (LANES / p.split) + lane / p.split;
    let share = lane % p.split;
    let i = at / width;
    let j = at % width * 4u;
    var v = vec4f();
    if i < p.rows {
        for (var part = share; part < SUMMED; part += p.split) {
            v += parts[stored_at(p, part, i, j)];
        }
    }
    if p.split > 1u {
        shares[lane] = v;
        for (var half = p.split / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if share < half {
                shares[lane] += shares[lane + half];
            }
        }
        v = shares[lane];
    }
    if share == 0u && i < p.rows {
        product_finish(p, 0u, i, j, v);
    }
}
