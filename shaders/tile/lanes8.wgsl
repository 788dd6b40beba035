// A tile of 16x32 or 32x64 outputs a subgroup of 8 lanes, for software adapters with subgroups of 8: no workgroup memory, no
// barrier. A lane has all rows of one or two of the columns' vec4s. Of A each lane loads one 4x4 block, and shuffles spread
// it: there a load is a loop over the lanes, and a shuffle by a constant is one instruction. So loads are what a tile costs,
// and the larger it is, the fewer there are for a product; still larger ones take the driver too long to compile.

/// How deep the 8 blocks of A reach.
const DEPTH: u32 = 128u / TILE_ROWS;

/// 16 rows of 4 columns.
struct Strip { r0: mat4x4f, r4: mat4x4f, r8: mat4x4f, r12: mat4x4f }

/// c + a b, for the 4 rows of A that lie in a lane: all of b at once, so that c can stay in registers meanwhile. The lane has
/// to be a constant, or the shuffle would be slow.
fn four_rows(c: mat4x4f, a: mat4x4f, lane: u32, b: mat4x4f) -> mat4x4f {
    return c + outer(subgroupShuffle(a[0], lane), b[0]) + outer(subgroupShuffle(a[1], lane), b[1])
        + outer(subgroupShuffle(a[2], lane), b[2]) + outer(subgroupShuffle(a[3], lane), b[3]);
}

/// The same for the 16 rows in the lanes 0 to 3.
fn first_lanes(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return Strip(
        four_rows(c.r0, a, 0u, b), four_rows(c.r4, a, 1u, b), four_rows(c.r8, a, 2u, b), four_rows(c.r12, a, 3u, b));
}

/// And for those in the lanes 4 to 7.
fn last_lanes(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return Strip(
        four_rows(c.r0, a, 4u, b), four_rows(c.r4, a, 5u, b), four_rows(c.r8, a, 6u, b), four_rows(c.r12, a, 7u, b));
}

// For each product of a kernel:

/// In a loop, so that the finish stands in the kernel once: unrolled it takes the driver seconds to compile.
fn product_finish_strips(p: Place, part: u32, i: u32, j: u32, c: Strip, d: Strip) {
    var rows = array<vec4f, 32>(
        c.r0[0], c.r0[1], c.r0[2], c.r0[3], c.r4[0], c.r4[1], c.r4[2], c.r4[3],
        c.r8[0], c.r8[1], c.r8[2], c.r8[3], c.r12[0], c.r12[1], c.r12[2], c.r12[3],
        d.r0[0], d.r0[1], d.r0[2], d.r0[3], d.r4[0], d.r4[1], d.r4[2], d.r4[3],
        d.r8[0], d.r8[1], d.r8[2], d.r8[3], d.r12[0], d.r12[1], d.r12[2], d.r12[3]);
    if j < p.columns {
        for (var r = 0u; r < min(TILE_ROWS, p.rows - min(p.rows, i)); r++) {
            product_finish(p, part, i + r, j, rows[r]);
        }
    }
}

fn product_tile(p: Place, task: Task, lane: u32) {
    let across = (p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let i = task.tile / across * TILE_ROWS;
    let j = task.tile % across * TILE_COLUMNS + 4u * lane;
    var c0 = Strip();
    var d0 = Strip();
    var c32 = Strip();
    var d32 = Strip();
    // The lanes' blocks lie below each other; what is left of them lies behind, further into the sums.
    let below = 4u * lane % TILE_ROWS;
    let behind = 4u * lane / TILE_ROWS * 4u;
    for (var k = task.start; k < task.end; k += DEPTH) {
        let a = product_left(p, i + below, k + behind);
        let b0 = product_right(p, k, j);
        c0 = first_lanes(c0, a, b0);
        if TILE_ROWS > 16u {
            d0 = last_lanes(d0, a, b0);
        } else if k + 4u < task.end {
            c0 = last_lanes(c0, a, product_right(p, k + 4u, j));
        }
        if TILE_COLUMNS > 32u {
            let b32 = product_right(p, k, j + 32u);
            c32 = first_lanes(c32, a, b32);
            d32 = last_lanes(d32, a, b32);
        }
    }
    product_finish_strips(p, task.part, i, j, c0, d0);
    if TILE_COLUMNS > 32u {
        product_finish_strips(p, task.part, i, j + 32u, c32, d32);
    }
}
