// Whole steps, many of them, in one dispatch: one workgroup takes the batch through all layers, forward and back, updates the
// parameters, and goes on to the next.

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
        walk_step(group.z, n, lane);
    }
}

// For each product of a kernel:

/// A workgroup computes as many tiles as it can at once, in as many rounds as that takes.
fn product_all(p: Place, lane: u32) {
    let tiles = (p.rows + TILE_ROWS - 1u) / TILE_ROWS * ((p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS);
    let at_once = TILES / p.split;
    for (var t = 0u; t < (tiles + at_once - 1u) / at_once; t++) {
        product_tile(p, task(p, t, 0u, p.depth), lane);
    }
}
