// 4x4 outputs per invocation: a tile of 32x32 for 64 invocations.

/// The number of groups of 32 invocations per row of the tile.
const GROUPS_PER_ROW: u32 = TILE_ROWS / 32u;

struct Registers { c: mat4x4f }

/// Returns c + a b, for the staged column vec4 of A at `offset.x` and the staged row vec4 of B at `offset.y`.
fn multiply_add(c: Registers, offset: vec2u) -> Registers {
    return Registers(c.c + outer(staged[offset.x], staged[4u * TILE_ROWS + offset.y]));
}
