// A template, for each matmul of a kernel: all tiles of a matmul in the workgroup of `entry/walk`.

/// A workgroup computes as many tiles as it can at once, in as many rounds as that takes.
fn product_all(p: Place, lane: u32) {
    let tiles = (p.rows + TILE_ROWS - 1u) / TILE_ROWS * ((p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS);
    let at_once = TILES / p.split;
    // rounds: (p.rows / TILE_ROWS) * (p.columns / TILE_COLUMNS) / (TILES / p.split)
    for (var t = 0u; t < (tiles + at_once - 1u) / at_once; t++) {
        product_tile(p, task(p, t, 0u, p.depth), lane);
    }
}
