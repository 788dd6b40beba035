// A 4x4 block for `split` invocations, each with some of the terms of its sums, which are then added in a fixed order:
// halves onto halves. For products with few outputs and long sums.

var<workgroup> slices: array<mat4x4f, LANES>;

// For each product of a kernel:

fn product_tile(p: Place, task: Task, lane: u32) {
    let across = p.columns / 4u;
    let block = task.tile * (LANES / p.split) + lane / p.split;
    let slice = lane % p.split;
    let i = block / across * 4u;
    let j = block % across * 4u;
    var c = mat4x4f();
    for (var k = task.start + 4u * slice; k < task.end; k += 4u * p.split) {
        c += block_product(product_left(p, i, k), product_right(p, k, j));
    }
    if p.split > 1u {
        workgroupBarrier();
        slices[lane] = c;
        for (var half = p.split / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if slice < half {
                slices[lane] += slices[lane + half];
            }
        }
        c = slices[lane];
    }
    if slice == 0u {
        product_finish_block(p, task.part, i, j, c);
    }
}
