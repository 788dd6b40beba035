// 8x8 outputs per invocation, in four blocks half a tile apart: a tile of 128x128 for 256 invocations.

/// The number of groups of 32 invocations per row of the tile.
const GROUPS_PER_ROW: u32 = TILE_ROWS / 64u;
/// Half the width of the tile, in vec4s.
const HALF_VEC4S: u32 = TILE_ROWS / 8u;

struct Registers { c00: mat4x4f, c04: mat4x4f, c40: mat4x4f, c44: mat4x4f }

/// Returns c + a b, for the staged column vec4s of A from `offset.x` and the staged row vec4s of B from `offset.y`.
fn multiply_add(c: Registers, offset: vec2u) -> Registers {
    let a0 = staged[offset.x];
    let a4 = staged[offset.x + HALF_VEC4S];
    let b0 = staged[4u * TILE_ROWS + offset.y];
    let b4 = staged[4u * TILE_ROWS + offset.y + HALF_VEC4S];
    return Registers(c.c00 + outer(a0, b0), c.c04 + outer(a0, b4), c.c40 + outer(a4, b0), c.c44 + outer(a4, b4));
}
