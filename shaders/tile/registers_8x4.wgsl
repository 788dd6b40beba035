// 8x4 outputs an invocation, their rows half a tile apart: a tile of 64x64 for 128 invocations.

const GROUPS_ACROSS: u32 = TILE_ROWS / 32u;
const HALF: u32 = TILE_ROWS / 8u;

struct Registers { c0: mat4x4f, c4: mat4x4f }

/// c + a b, where the vec4 of a column of A is staged at at.x, and that of a row of B at at.y.
fn multiply_add(c: Registers, at: vec2u) -> Registers {
    let b = staged[4u * TILE_ROWS + at.y];
    return Registers(c.c0 + outer(staged[at.x], b), c.c4 + outer(staged[at.x + HALF], b));
}
