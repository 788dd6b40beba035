// A tile of 16 rows and 32 or 64 columns a subgroup of 8 lanes, for software adapters with subgroups of 8: no workgroup
// memory, no barrier. A lane has 16 rows of one or two of the columns' vec4s. Of A each lane loads one 4x4 block, together 16 rows and 8 deep, and shuffles
// spread it: there a load is a loop over the lanes, and a shuffle by a constant is one instruction.

/// 16 rows of 4 columns.
struct Strip { r0: mat4x4f, r4: mat4x4f, r8: mat4x4f, r12: mat4x4f }

/// c + a b, for a column a of A whose 16 rows lie in the lanes 0 to 3.
fn near(c: Strip, a: vec4f, b: vec4f) -> Strip {
    return Strip(
        c.r0 + outer(subgroupShuffle(a, 0u), b), c.r4 + outer(subgroupShuffle(a, 1u), b),
        c.r8 + outer(subgroupShuffle(a, 2u), b), c.r12 + outer(subgroupShuffle(a, 3u), b));
}

/// The same for a column in the lanes 4 to 7; a shuffle that is no constant would be slow.
fn far(c: Strip, a: vec4f, b: vec4f) -> Strip {
    return Strip(
        c.r0 + outer(subgroupShuffle(a, 4u), b), c.r4 + outer(subgroupShuffle(a, 5u), b),
        c.r8 + outer(subgroupShuffle(a, 6u), b), c.r12 + outer(subgroupShuffle(a, 7u), b));
}

fn near_block(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return near(near(near(near(c, a[0], b[0]), a[1], b[1]), a[2], b[2]), a[3], b[3]);
}

fn far_block(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return far(far(far(far(c, a[0], b[0]), a[1], b[1]), a[2], b[2]), a[3], b[3]);
}

// For each product of a kernel:

/// In a loop, so that the finish stands in the kernel once: unrolled it takes the driver seconds to compile.
fn product_finish_strip(p: Place, part: u32, i: u32, j: u32, c: Strip) {
    var rows = array<vec4f, 16>(
        c.r0[0], c.r0[1], c.r0[2], c.r0[3], c.r4[0], c.r4[1], c.r4[2], c.r4[3],
        c.r8[0], c.r8[1], c.r8[2], c.r8[3], c.r12[0], c.r12[1], c.r12[2], c.r12[3]);
    if j < p.columns {
        for (var r = 0u; r < min(16u, p.rows - min(p.rows, i)); r++) {
            product_finish(p, part, i + r, j, rows[r]);
        }
    }
}

fn product_tile(p: Place, task: Task, lane: u32) {
    let across = (p.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let i = task.tile / across * 16u;
    let j = task.tile % across * TILE_COLUMNS + 4u * lane;
    var c0 = Strip();
    var c32 = Strip();
    for (var k = task.start; k < task.end; k += 8u) {
        let a = product_left(p, i + 4u * (lane % 4u), k + 4u * (lane / 4u));
        c0 = near_block(c0, a, product_right(p, k, j));
        if TILE_COLUMNS > 32u {
            c32 = near_block(c32, a, product_right(p, k, j + 32u));
        }
        if k + 4u < task.end {
            c0 = far_block(c0, a, product_right(p, k + 4u, j));
            if TILE_COLUMNS > 32u {
                c32 = far_block(c32, a, product_right(p, k + 4u, j + 32u));
            }
        }
    }
    product_finish_strip(p, task.part, i, j, c0);
    if TILE_COLUMNS > 32u {
        product_finish_strip(p, task.part, i, j + 32u, c32);
    }
}
