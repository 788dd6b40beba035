// C = A B with one tile of C per subgroup of 8 invocations: see `tile/subgroup8`. A template, instantiated once per
// matmul.

/// Applies the epilogue to 16 or 32 rows of 4 columns. The loop keeps the epilogue in the kernel once: unrolled, the
/// driver needs seconds to compile it.
fn matmul_epilogue_strips(p: MatmulArgs, partial_index: u32, i: u32, j: u32, c: Strip, d: Strip) {
    var rows = array<vec4f, 32>(
        c.r0[0], c.r0[1], c.r0[2], c.r0[3], c.r4[0], c.r4[1], c.r4[2], c.r4[3],
        c.r8[0], c.r8[1], c.r8[2], c.r8[3], c.r12[0], c.r12[1], c.r12[2], c.r12[3],
        d.r0[0], d.r0[1], d.r0[2], d.r0[3], d.r4[0], d.r4[1], d.r4[2], d.r4[3],
        d.r8[0], d.r8[1], d.r8[2], d.r8[3], d.r12[0], d.r12[1], d.r12[2], d.r12[3]);
    if j < p.columns {
        // rounds: TILE_ROWS
        for (var r = 0u; r < min(TILE_ROWS, p.rows - min(p.rows, i)); r++) {
            matmul_epilogue(p, partial_index, i + r, j, rows[r]);
        }
    }
}

/// Computes one tile of C. `c0` and `d0` are the rows 0 to 15 and 16 to 31 of an invocation's first four columns, `c32`
/// and `d32` those of its columns 32 further right.
fn matmul_tile(p: MatmulArgs, task: TileTask, local: u32) {
    let tiles_per_row = (p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let i = task.tile / tiles_per_row * TILE_ROWS;
    let j = task.tile % tiles_per_row * TILE_COLUMNS + 4u * local;
    var c0 = Strip();
    var d0 = Strip();
    var c32 = Strip();
    var d32 = Strip();
    // The 8 blocks of A are below each other. If the tile has only 16 rows, the last 4 blocks are the next 4 columns of
    // A.
    let load_row = 4u * local % TILE_ROWS;
    let load_depth = 4u * local / TILE_ROWS * 4u;
    // rounds: task.depth / DEPTH
    for (var k = task.start; k < task.end; k += DEPTH) {
        let a = matmul_a(p, i + load_row, k + load_depth);
        let b0 = matmul_b(p, k, j);
        c0 = multiply_add_blocks_0_to_3(c0, a, b0);
        if TILE_ROWS > 16u {
            d0 = multiply_add_blocks_4_to_7(d0, a, b0);
        } else if k + 4u < task.end {
            c0 = multiply_add_blocks_4_to_7(c0, a, matmul_b(p, k + 4u, j));
        }
        if TILE_COLUMNS > 32u {
            let b32 = matmul_b(p, k, j + 32u);
            c32 = multiply_add_blocks_0_to_3(c32, a, b32);
            d32 = multiply_add_blocks_4_to_7(d32, a, b32);
        }
    }
    matmul_epilogue_strips(p, task.partial_index, i, j, c0, d0);
    if TILE_COLUMNS > 32u {
        matmul_epilogue_strips(p, task.partial_index, i, j + 32u, c32, d32);
    }
}
