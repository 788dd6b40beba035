// 8x4 outputs per invocation, in two blocks half a tile apart: a tile of 64x64 for 128 invocations.

/// The number of groups of 32 invocations per row of the tile.
const GROUPS_PER_ROW: u32 = TILE_ROWS / 32u;
/// Half the width of the tile, in vec4s.
const HALF_VEC4S: u32 = TILE_ROWS / 8u;

struct Registers { c0: mat4x4f, c4: mat4x4f }

/// Returns c + a b, for the staged column vec4s of A from `offset.x` and the staged row vec4 of B at `offset.y`.
fn multiply_add(c: Registers, offset: vec2u) -> Registers {
    let b = staged[4u * TILE_ROWS + offset.y];
    return Registers(c.c0 + outer(staged[offset.x], b), c.c4 + outer(staged[offset.x + HALF_VEC4S], b));
}
