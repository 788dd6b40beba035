// One matmul, or the gradient matmuls of all layers: each workgroup computes one tile of one partial sum. A template,
// instantiated for the matmul of the kernel.

/// Returns the number, counted row by row, of the n-th tile counted column by column. Adjacent workgroups then use the
/// same columns of B, which are mostly weights, so that these stay in the cache for all rows of the batch.
fn column_major_tile(p: MatmulArgs, n: u32) -> u32 {
    let tile_rows = (p.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let tile_columns = (p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    return select(n, n % tile_rows * tile_columns + n / tile_rows, TILES == 1u && p.rows > 0u);
}

@compute @workgroup_size(INVOCATIONS)
fn grid(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroup_count: vec3u,
        @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    let index = workgroup.x + workgroup.y * workgroup_count.x;
    let block = index % WORKGROUPS;
    let partial_index = index / WORKGROUPS;
    var l = FIRST_LAYER;
    // rounds: LAST_LAYER - FIRST_LAYER if LAST_LAYER > FIRST_LAYER
    for (; l < LAST_LAYER; l++) {
        if block < layer(l + 1u).first_block {
            break;
        }
    }
    var p = matmul_args(l, workgroup.z, 0u);
    // A folded grid may have more workgroups than tiles. They compute a matmul without rows.
    p.rows = select(0u, p.rows, partial_index < SPLIT_K);
    matmul_tile(p, tile_task(p, column_major_tile(p, block - layer(l).first_block), partial_index, SPLIT_DEPTH), local);
}
