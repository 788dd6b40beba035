// A template, for each matmul of a kernel: the tile of `tile/staged`.

fn product_tile(p: Place, task: Task, lane: u32) {
    let tiles = (p.columns + TILE_ROWS - 1u) / TILE_ROWS;
    let i = task.tile / tiles * TILE_ROWS;
    let j = task.tile % tiles * TILE_ROWS;
    let is_left = lane < TILE_ROWS;
    let across = lane % TILE_ROWS % ACROSS;
    let deep = lane % TILE_ROWS / ACROSS;
    let at = select(4u * TILE_ROWS, 0u, is_left) + deep * TILE_ROWS + across;
    var next = product_fetched(p, task.end, is_left, i + 4u * across, j + 4u * across, task.start + 4u * deep);
    let own = own_place(lane);
    var c = Registers();
    // rounds: task.depth / 16
    for (var k = task.start; k < task.end; k += 16u) {
        workgroupBarrier();
        staged[at] = next[0];
        staged[at + ACROSS] = next[1];
        staged[at + 2u * ACROSS] = next[2];
        staged[at + 3u * ACROSS] = next[3];
        workgroupBarrier();
        next = product_fetched(p, task.end, is_left, i + 4u * across, j + 4u * across, k + 16u + 4u * deep);
        // rounds: 4
        for (var q = 0u; q < 4u * TILE_ROWS; q += TILE_ROWS) {
            c = multiplied(c, q + own);
            c = multiplied(c, q + ACROSS + own);
            c = multiplied(c, q + 2u * ACROSS + own);
            c = multiplied(c, q + 3u * ACROSS + own);
        }
    }
    product_finish_registers(p, task.part, vec2u(i, j) + 4u * own, c);
}

/// A block of A or of B, 0 beyond the part's end.
fn product_fetched(p: Place, end: u32, is_left: bool, i: u32, j: u32, k: u32) -> mat4x4f {
    var block = mat4x4f();
    if k < end {
        if is_left {
            block = product_left(p, i, k);
        } else {
            block = product_right(p, k, j);
        }
    }
    return block;
}
