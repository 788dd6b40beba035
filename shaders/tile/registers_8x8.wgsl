// 8x8 outputs an invocation, in blocks half a tile apart: a tile of 128x128 for 256 invocations.

const GROUPS_ACROSS: u32 = TILE_ROWS / 64u;
const HALF: u32 = TILE_ROWS / 8u;

struct Registers { c00: mat4x4f, c04: mat4x4f, c40: mat4x4f, c44: mat4x4f }

/// c + a b, where the vec4 of a column of A is staged at at.x, and that of a row of B at at.y.
fn multiply_add(c: Registers, at: vec2u) -> Registers {
    let a0 = staged[at.x];
    let a4 = staged[at.x + HALF];
    let b0 = staged[4u * TILE_ROWS + at.y];
    let b4 = staged[4u * TILE_ROWS + at.y + HALF];
    return Registers(c.c00 + outer(a0, b0), c.c04 + outer(a0, b4), c.c40 + outer(a4, b0), c.c44 + outer(a4, b4));
}
