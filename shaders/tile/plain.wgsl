// An 8x8 tile an invocation, all in registers: no workgroup memory, no barrier, no subgroup. For software adapters,
// whose workgroup memory is ordinary memory and whose barriers are expensive. A template, for each
// matmul of a kernel.

fn product_tile(p: Place, task: Task, lane: u32) {
    let across = (p.columns + 7u) / 8u;
    let number = task.tile * LANES + lane;
    let i = number / across * 8u;
    let j = number % across * 8u;
    var c00 = mat4x4f();
    var c04 = mat4x4f();
    var c40 = mat4x4f();
    var c44 = mat4x4f();
    // rounds: task.depth / 4
    for (var k = task.start; k < task.end; k += 4u) {
        let a0 = product_left(p, i, k);
        let a4 = product_left(p, i + 4u, k);
        let b0 = product_right(p, k, j);
        let b4 = product_right(p, k, j + 4u);
        c00 += block_product(a0, b0);
        c04 += block_product(a0, b4);
        c40 += block_product(a4, b0);
        c44 += block_product(a4, b4);
    }
    product_finish_block(p, task.part, i, j, c00);
    product_finish_block(p, task.part, i, j + 4u, c04);
    product_finish_block(p, task.part, i + 4u, j, c40);
    product_finish_block(p, task.part, i + 4u, j + 4u, c44);
}
