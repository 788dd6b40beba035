// A template, for each matmul of a kernel: the tile of `tile/sliced`.

fn product_tile(p: Place, task: Task, lane: u32) {
    let across = p.columns / 4u;
    let block = task.tile * (LANES / p.split) + lane / p.split;
    let slice = lane % p.split;
    let i = block / across * 4u;
    let j = block % across * 4u;
    var c = mat4x4f();
    // rounds: task.depth / 4 / p.split
    for (var k = task.start + 4u * slice; k < task.end; k += 4u * p.split) {
        c += block_product(product_left(p, i, k), product_right(p, k, j));
    }
    if p.split > 1u {
        c = sum_of_slices(c, p.split, lane);
    }
    if slice == 0u {
        product_finish_block(p, task.part, i, j, c);
    }
}
