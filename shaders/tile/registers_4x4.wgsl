// 4x4 outputs an invocation: a tile of 32x32 for 64 invocations.

const GROUPS_ACROSS: u32 = TILE_ROWS / 32u;

struct Registers { c: mat4x4f }

/// c + a b, where the vec4 of a column of A is staged at at.x, and that of a row of B at at.y.
fn multiply_add(c: Registers, at: vec2u) -> Registers {
    return Registers(c.c + outer(staged[at.x], staged[4u * TILE_ROWS + at.y]));
}
