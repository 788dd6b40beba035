// A template, for each matmul of a kernel: the tile of `tile/staged`.

fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let tiles = (p.columns + TILE_ROWS - 1u) / TILE_ROWS;
    let i = task.tile / tiles * TILE_ROWS;
    let j = task.tile % tiles * TILE_ROWS;
    let is_left = local < TILE_ROWS;
    let across = local % TILE_ROWS % ACROSS;
    let deep = local % TILE_ROWS / ACROSS;
    let at = select(4u * TILE_ROWS, 0u, is_left) + deep * TILE_ROWS + across;
    var next = matmul_load_block(p, task.end, is_left, i + 4u * across, j + 4u * across, task.start + 4u * deep);
    let own = thread_position(local);
    var c = Registers();
    // rounds: task.depth / 16
    for (var k = task.start; k < task.end; k += 16u) {
        workgroupBarrier();
        staged[at] = next[0];
        staged[at + ACROSS] = next[1];
        staged[at + 2u * ACROSS] = next[2];
        staged[at + 3u * ACROSS] = next[3];
        workgroupBarrier();
        next = matmul_load_block(p, task.end, is_left, i + 4u * across, j + 4u * across, k + 16u + 4u * deep);
        // rounds: 4
        for (var q = 0u; q < 4u * TILE_ROWS; q += TILE_ROWS) {
            c = multiply_add(c, q + own);
            c = multiply_add(c, q + ACROSS + own);
            c = multiply_add(c, q + 2u * ACROSS + own);
            c = multiply_add(c, q + 3u * ACROSS + own);
        }
    }
    matmul_epilogue_registers(p, task.part, vec2u(i, j) + 4u * own, c);
}

/// A block of A or of B, 0 beyond the part's end.
fn matmul_load_block(p: MatmulArgs, end: u32, is_left: bool, i: u32, j: u32, k: u32) -> mat4x4f {
    var block = mat4x4f();
    if k < end {
        if is_left {
            block = matmul_a(p, i, k);
        } else {
            block = matmul_b(p, k, j);
        }
    }
    return block;
}
