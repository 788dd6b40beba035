// The place of a workgroup in a product that it computes.

/// Where a matrix inputs in its arena and how far apart its rows lie, in vec4s.
struct Operand { offset: u32, stride: u32 }

/// The product C = A B that a workgroup computes a tile of: C is `rows` x `columns`, all of it whole 4x4 blocks.
struct MatmulArgs {
    layer: u32,
    member: u32,
    rows: u32,
    columns: u32,
    depth: u32,
    a: Operand,
    b: Operand,
    /// The row of C whose row of A is all ones, if there is one: the biases'.
    ones_row: u32,
    /// Where C inputs in a part, if it is stored.
    c_offset: u32,
    /// How many invocations share the sums of an output, in `tile/sliced`.
    sliced_k: u32,
}

const NO_ONES_ROW: u32 = 0xffffffffu;

/// What is computed of it: a tile of C, counted row by row, and the terms `start` to below `end` of its sums.
struct TileTask {
    tile: u32,
    part: u32,
    start: u32,
    end: u32,
}

/// A tile of the part with this number, all partial_sums being `slice` deep.
fn tile_task(p: MatmulArgs, tile: u32, part: u32, slice: u32) -> TileTask {
    return TileTask(tile, part, part * slice, min(p.depth, (part + 1u) * slice));
}

/// Where the vec4 at row i and column j of a part is stored.
fn partial_sum_offset(p: MatmulArgs, part: u32, i: u32, j: u32) -> u32 {
    return (part * MEMBERS + p.member) * PARTIAL_SUM_STRIDE + p.c_offset + i * (p.columns / 4u) + j / 4u;
}
