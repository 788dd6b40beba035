// One tile of 16x32 or 32x64 outputs per subgroup of 8 invocations, for software adapters with subgroups of 8: no
// workgroup memory, no barrier. An invocation computes all rows of one or two vec4s of columns. It loads one 4x4 block
// of A, and shuffles broadcast the blocks: on these adapters a load is a loop over the invocations, and a shuffle by a
// constant is one instruction. So loads dominate the time of a tile, and a larger tile needs fewer loads per matmul.
// The driver takes too long to compile still larger tiles.

/// The number of columns of A in the 8 blocks.
const DEPTH: u32 = 128u / TILE_ROWS;

/// 16 rows of 4 columns.
struct Strip { r0: mat4x4f, r4: mat4x4f, r8: mat4x4f, r12: mat4x4f }

/// Returns c + a b, for the block `a` of the subgroup's invocation number `source`. It uses all of b at once, so that c
/// can stay in registers. `source` must be a constant, otherwise the shuffle is slow.
fn multiply_add_block(c: mat4x4f, a: mat4x4f, source: u32, b: mat4x4f) -> mat4x4f {
    return c + outer(subgroupShuffle(a[0], source), b[0]) + outer(subgroupShuffle(a[1], source), b[1])
        + outer(subgroupShuffle(a[2], source), b[2]) + outer(subgroupShuffle(a[3], source), b[3]);
}

/// Returns c + a b, for the 16 rows of A in the invocations 0 to 3.
fn multiply_add_blocks_0_to_3(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return Strip(
        multiply_add_block(c.r0, a, 0u, b),
        multiply_add_block(c.r4, a, 1u, b),
        multiply_add_block(c.r8, a, 2u, b),
        multiply_add_block(c.r12, a, 3u, b));
}

/// Returns c + a b, for the 16 rows of A in the invocations 4 to 7.
fn multiply_add_blocks_4_to_7(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return Strip(
        multiply_add_block(c.r0, a, 4u, b),
        multiply_add_block(c.r4, a, 5u, b),
        multiply_add_block(c.r8, a, 6u, b),
        multiply_add_block(c.r12, a, 7u, b));
}
