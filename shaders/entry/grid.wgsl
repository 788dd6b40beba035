// One product, or that of all layers' gradients: a workgroup computes one tile of one part.
// A template, for the one matmul of the kernel.

/// The number, counted row by row, of the tile that is the n-th column by column: neighbours share columns of B, which are
/// mostly weights, and those stay in the cache for all rows of the batch.
fn column_major_tile(p: MatmulArgs, n: u32) -> u32 {
    let down = (p.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let across = (p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    return select(n, n % down * across + n / down, TILES == 1u && p.rows > 0u);
}

@compute @workgroup_size(INVOCATIONS)
fn grid(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    let number = group.x + group.y * groups.x;
    let within = number % WORKGROUPS;
    let part = number / WORKGROUPS;
    var l = FIRST_LAYER;
    // rounds: LAST_LAYER - FIRST_LAYER if LAST_LAYER > FIRST_LAYER
    for (; l < LAST_LAYER; l++) {
        if within < layer(l + 1u).first_workgroup {
            break;
        }
    }
    var p = matmul_args(l, group.z, 0u);
    // The last workgroups may be too many.
    p.rows = select(0u, p.rows, part < SPLIT_K);
    matmul_tile(p, tile_task(p, column_major_tile(p, within - layer(l).first_workgroup), part, SPLIT_DEPTH), local);
}
