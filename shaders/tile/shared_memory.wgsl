// One square tile per workgroup, staged in workgroup memory, for GPUs. The workgroup stages 16 terms of the sums at a
// time, so that it reads each operand once per tile from the arenas. Half of the invocations load one 4x4 block of A
// each, the others one of B, while the workgroup multiplies the previous blocks. The files `registers_*` define the
// outputs of an invocation.

/// The width of the tile in vec4s.
const TILE_VEC4S: u32 = TILE_ROWS / 4u;

/// The staged columns of A as [k][i / 4], then the staged rows of B as [k][j / 4].
var<workgroup> staged: array<vec4f, 8u * TILE_ROWS>;

/// Returns the row and the column of an invocation in its tile, in vec4s. Each group of 32 adjacent invocations has 4
/// rows and 8 columns, which it reads from workgroup memory at once.
fn thread_position(local: u32) -> vec2u {
    let group = local / 32u;
    return vec2u(group / GROUPS_PER_ROW * 4u + local % 32u / 8u, group % GROUPS_PER_ROW * 8u + local % 8u);
}
