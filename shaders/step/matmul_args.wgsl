// The arguments of a matmul C = A B, and the part of it that one workgroup computes.

/// The offset of a matrix in its arena and the distance between two of its rows, in vec4s.
struct Operand { offset: u32, stride: u32 }

/// A matmul C = A B of `rows` x `depth` times `depth` x `columns`, all multiples of 4.
struct MatmulArgs {
    layer: u32,
    member: u32,
    rows: u32,
    columns: u32,
    depth: u32,
    a: Operand,
    b: Operand,
    /// The row of C whose row of A contains only ones, for the gradients of the biases; NO_ONES_ROW without it.
    ones_row: u32,
    /// The offset of C among the partial sums with the same index, in vec4s.
    c_offset: u32,
    /// The number of invocations per sum, for `tile/sliced_k`.
    sliced_k: u32,
}

const NO_ONES_ROW: u32 = 0xffffffffu;

/// The work of one workgroup: a tile of C, counted row by row, and the terms from `start` to `end` (exclusive) of its
/// sums.
struct TileTask {
    tile: u32,
    partial_index: u32,
    start: u32,
    end: u32,
}

/// Returns the task for a tile of the partial sums `partial_index`. Each partial sum has `slice` terms.
fn tile_task(p: MatmulArgs, tile: u32, partial_index: u32, slice: u32) -> TileTask {
    return TileTask(tile, partial_index, partial_index * slice, min(p.depth, (partial_index + 1u) * slice));
}

/// Returns the offset in `partial_sums` of the vec4 at row i and column j.
fn partial_sum_offset(p: MatmulArgs, partial_index: u32, i: u32, j: u32) -> u32 {
    return (partial_index * MEMBERS + p.member) * PARTIAL_SUM_STRIDE + p.c_offset + i * (p.columns / 4u) + j / 4u;
}
