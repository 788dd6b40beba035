// An 8x8 tile an invocation, all in registers: no workgroup memory, no barrier, no subgroup. For software adapters,
// whose workgroup memory is ordinary memory and whose barriers are expensive. A template, for each
// matmul of a kernel.

fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let across = (p.columns + 7u) / 8u;
    let number = task.tile * INVOCATIONS + local;
    let i = number / across * 8u;
    let j = number % across * 8u;
    var c00 = mat4x4f();
    var c04 = mat4x4f();
    var c40 = mat4x4f();
    var c44 = mat4x4f();
    // rounds: task.depth / 4
    for (var k = task.start; k < task.end; k += 4u) {
        let a0 = matmul_a(p, i, k);
        let a4 = matmul_a(p, i + 4u, k);
        let b0 = matmul_b(p, k, j);
        let b4 = matmul_b(p, k, j + 4u);
        c00 += block_product(a0, b0);
        c04 += block_product(a0, b4);
        c40 += block_product(a4, b0);
        c44 += block_product(a4, b4);
    }
    matmul_epilogue_block(p, task.part, i, j, c00);
    matmul_epilogue_block(p, task.part, i, j + 4u, c04);
    matmul_epilogue_block(p, task.part, i + 4u, j, c40);
    matmul_epilogue_block(p, task.part, i + 4u, j + 4u, c44);
}
