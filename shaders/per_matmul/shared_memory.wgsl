// C = A B with one tile of C per workgroup, staged in workgroup memory: see `tile/shared_memory`. A template,
// instantiated once per matmul.

/// Computes one tile of C.
fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let tiles_per_row = (p.columns + TILE_ROWS - 1u) / TILE_ROWS;
    let i = task.tile / tiles_per_row * TILE_ROWS;
    let j = task.tile % tiles_per_row * TILE_ROWS;
    // Half of the invocations load blocks of A, the others blocks of B, for the next 16 terms of the sums.
    let loads_a = local < TILE_ROWS;
    let load_index = local % TILE_ROWS % TILE_VEC4S;
    let load_depth = local % TILE_ROWS / TILE_VEC4S;
    let offset = select(4u * TILE_ROWS, 0u, loads_a) + load_depth * TILE_ROWS + load_index;
    var next = matmul_load_block(
        p, task.end, loads_a, i + 4u * load_index, j + 4u * load_index, task.start + 4u * load_depth);
    let position = thread_position(local);
    var c = Registers();
    // rounds: task.depth / 16
    for (var k = task.start; k < task.end; k += 16u) {
        workgroupBarrier();
        staged[offset] = next[0];
        staged[offset + TILE_VEC4S] = next[1];
        staged[offset + 2u * TILE_VEC4S] = next[2];
        staged[offset + 3u * TILE_VEC4S] = next[3];
        workgroupBarrier();
        next = matmul_load_block(
            p, task.end, loads_a, i + 4u * load_index, j + 4u * load_index, k + 16u + 4u * load_depth);
        // rounds: 4
        for (var q = 0u; q < 4u * TILE_ROWS; q += TILE_ROWS) {
            c = multiply_add(c, q + position);
            c = multiply_add(c, q + TILE_VEC4S + position);
            c = multiply_add(c, q + 2u * TILE_VEC4S + position);
            c = multiply_add(c, q + 3u * TILE_VEC4S + position);
        }
    }
    matmul_epilogue_registers(p, task.partial_index, vec2u(i, j) + 4u * position, c);
}

/// Returns a 4x4 block of A or of B; 0 from `end` on, the end of the partial sum.
fn matmul_load_block(p: MatmulArgs, end: u32, loads_a: bool, i: u32, j: u32, k: u32) -> mat4x4f {
    var block = mat4x4f();
    if k < end {
        if loads_a {
            block = matmul_a(p, i, k);
        } else {
            block = matmul_b(p, k, j);
        }
    }
    return block;
}
