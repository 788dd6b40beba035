// A template, for each matmul of a kernel: the tile of `tile/lanes8`.

/// In a loop, so that the finish stands in the kernel once: unrolled it takes the driver seconds to compile.
fn matmul_epilogue_strips(p: MatmulArgs, part: u32, i: u32, j: u32, c: Strip, d: Strip) {
    var rows = array<vec4f, 32>(
        c.r0[0], c.r0[1], c.r0[2], c.r0[3], c.r4[0], c.r4[1], c.r4[2], c.r4[3],
        c.r8[0], c.r8[1], c.r8[2], c.r8[3], c.r12[0], c.r12[1], c.r12[2], c.r12[3],
        d.r0[0], d.r0[1], d.r0[2], d.r0[3], d.r4[0], d.r4[1], d.r4[2], d.r4[3],
        d.r8[0], d.r8[1], d.r8[2], d.r8[3], d.r12[0], d.r12[1], d.r12[2], d.r12[3]);
    if j < p.columns {
        // rounds: TILE_ROWS
        for (var r = 0u; r < min(TILE_ROWS, p.rows - min(p.rows, i)); r++) {
            matmul_epilogue(p, part, i + r, j, rows[r]);
        }
    }
}

fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let across = (p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let i = task.tile / across * TILE_ROWS;
    let j = task.tile % across * TILE_COLUMNS + 4u * local;
    var c0 = Strip();
    var d0 = Strip();
    var c32 = Strip();
    var d32 = Strip();
    // The lanes' blocks lie below each other; what is left of them lies behind, further into the sums.
    let below = 4u * local % TILE_ROWS;
    let behind = 4u * local / TILE_ROWS * 4u;
    // rounds: task.depth / DEPTH
    for (var k = task.start; k < task.end; k += DEPTH) {
        let a = matmul_a(p, i + below, k + behind);
        let b0 = matmul_b(p, k, j);
        c0 = first_lanes(c0, a, b0);
        if TILE_ROWS > 16u {
            d0 = last_lanes(d0, a, b0);
        } else if k + 4u < task.end {
            c0 = last_lanes(c0, a, matmul_b(p, k + 4u, j));
        }
        if TILE_COLUMNS > 32u {
            let b32 = matmul_b(p, k, j + 32u);
            c32 = first_lanes(c32, a, b32);
            d32 = last_lanes(d32, a, b32);
        }
    }
    matmul_epilogue_strips(p, task.part, i, j, c0, d0);
    if TILE_COLUMNS > 32u {
        matmul_epilogue_strips(p, task.part, i, j + 32u, c32, d32);
    }
}
