// A square tile a workgroup. Both operands pass through workgroup memory, 16 deep, so that each is read from the arenas
// once a tile: half of the invocations fetch a 4x4 block of A each and half one of B, the next ones while the last are
// multiplied. `registers_*` say which part of the tile an invocation keeps. For GPUs.

/// vec4s across the tile.
const ACROSS: u32 = TILE_ROWS / 4u;

/// [k][i / 4] of A, behind it [k][j / 4] of B.
var<workgroup> staged: array<vec4f, 8u * TILE_ROWS>;

/// An invocation's row and column of vec4s. 32 neighbours share 4 rows and 8 columns, which they read from workgroup
/// memory at once.
fn thread_position(local: u32) -> vec2u {
    let group = local / 32u;
    return vec2u(group / GROUPS_ACROSS * 4u + local % 32u / 8u, group % GROUPS_ACROSS * 8u + local % 8u);
}
