// One product, or that of all layers' gradients: a workgroup computes one tile of one part.
// A template, for the one matmul of the kernel.

/// The number, counted row by row, of the tile that is the n-th column by column: neighbours share columns of B, which are
/// mostly weights, and those stay in the cache for all rows of the batch.
fn down_first(p: Place, n: u32) -> u32 {
    let down = (p.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let across = (p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    return select(n, n % down * across + n / down, TILES == 1u && p.rows > 0u);
}

@compute @workgroup_size(LANES)
fn grid(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    let number = group.x + group.y * groups.x;
    let within = number % GROUPS;
    let part = number / GROUPS;
    var l = FIRST_LAYER;
    // rounds: LAST_LAYER - FIRST_LAYER if LAST_LAYER > FIRST_LAYER
    for (; l < LAST_LAYER; l++) {
        if within < layer(l + 1u).first {
            break;
        }
    }
    var p = product_place(l, group.z, 0u);
    // The last workgroups may be too many.
    p.rows = select(0u, p.rows, part < PARTS);
    product_tile(p, task(p, down_first(p, within - layer(l).first), part, SLICE), lane);
}
