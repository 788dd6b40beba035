// A step in one dispatch: a workgroup takes some rows of the batch through all layers, forward and back, and computes
// their part of the gradients. If the rows are the whole batch, that updates the parameters, and the next step follows.

@compute @workgroup_size(LANES)
fn walk(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    for (var n = 0u; n < WALK; n++) {
        walked = n;
        // The table of the chunk's steps ends with one without rows.
        let step = step_of(group.z, n);
        if step.rows == 0u {
            break;
        }
        current = step;
        walk_step(group.x, group.z, n, lane);
    }
}

/// How many times a workgroup computes as many tiles as it can at once, for so many rows of a product.
fn rounds(p: Place, rows: u32) -> u32 {
    let tiles = (rows + TILE_ROWS - 1u) / TILE_ROWS * ((p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS);
    let at_once = TILES / p.split;
    return (tiles + at_once - 1u) / at_once;
}

// For each product of a kernel:

/// The product's rows that are the workgroup's.
fn product_rows(p: Place, block: u32, lane: u32) {
    let count = rounds(p, ROWS);
    for (var t = block * count; t < (block + 1u) * count; t++) {
        product_tile(p, task(p, t, 0u, p.depth), lane);
    }
}

/// The part of the sums that is over the workgroup's rows.
fn product_part(p: Place, block: u32, lane: u32) {
    let count = rounds(p, p.rows);
    for (var t = 0u; t < count; t++) {
        product_tile(p, task(p, t, block, ROWS), lane);
    }
}
