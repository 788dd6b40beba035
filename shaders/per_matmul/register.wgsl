// C = A B with an 8x8 tile of C in the registers of each invocation: no workgroup memory, no barrier, no subgroup. For
// software adapters, whose workgroup memory is ordinary memory and whose barriers are expensive. A template,
// instantiated once per matmul.

/// Computes the tile number `task.tile * INVOCATIONS + local`, counted row by row.
fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let tiles_per_row = (p.columns + 7u) / 8u;
    let tile = task.tile * INVOCATIONS + local;
    let i = tile / tiles_per_row * 8u;
    let j = tile % tiles_per_row * 8u;
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
    matmul_epilogue_block(p, task.partial_index, i, j, c00);
    matmul_epilogue_block(p, task.partial_index, i, j + 4u, c04);
    matmul_epilogue_block(p, task.partial_index, i + 4u, j, c40);
    matmul_epilogue_block(p, task.partial_index, i + 4u, j + 4u, c44);
}
