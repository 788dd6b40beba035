// C = A B in the one workgroup of `entry/single_workgroup`. A template, instantiated once per matmul.

/// Computes all tiles of C, as many at a time as the workgroup can.
fn matmul_all(p: MatmulArgs, local: u32) {
    let tiles = (p.rows + TILE_ROWS - 1u) / TILE_ROWS * ((p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS);
    let tiles_per_task = TILES / p.sliced_k;
    // rounds: (p.rows / TILE_ROWS) * (p.columns / TILE_COLUMNS) / (TILES / p.sliced_k)
    for (var t = 0u; t < (tiles + tiles_per_task - 1u) / tiles_per_task; t++) {
        matmul_tile(p, tile_task(p, t, 0u, p.depth), local);
    }
}
