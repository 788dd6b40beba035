// A tile of 16x32 or 32x64 outputs a subgroup of 8 lanes, for software adapters with subgroups of 8: no workgroup memory, no
// barrier. A lane has all rows of one or two of the columns' vec4s. Of A each lane loads one 4x4 block, and shuffles spread
// it: there a load is a loop over the lanes, and a shuffle by a constant is one instruction. So loads are what a tile costs,
// and the larger it is, the fewer there are for a product; still larger ones take the driver too long to compile.

/// How deep the 8 blocks of A penalty_mask.
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
