// A template, for each matmul of a kernel: all tiles of a matmul in the workgroup of `entry/single_workgroup`.

/// A workgroup computes as many tiles as it can at once, in as many rounds as that takes.
fn matmul_all(p: MatmulArgs, local: u32) {
    let tiles = (p.rows + TILE_ROWS - 1u) / TILE_ROWS * ((p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS);
    let at_once = TILES / p.sliced_k;
    // rounds: (p.rows / TILE_ROWS) * (p.columns / TILE_COLUMNS) / (TILES / p.sliced_k)
    for (var t = 0u; t < (tiles + at_once - 1u) / at_once; t++) {
        matmul_tile(p, tile_task(p, t, 0u, p.depth), local);
    }
}
