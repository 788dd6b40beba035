// The place of a workgroup in a product that it computes.

/// Where a matrix starts in its arena and how far apart its rows lie, in vec4s.
struct Operand { at: u32, stride: u32 }

/// The product C = A B that a workgroup computes a tile of: C is `rows` x `columns`, all of it whole 4x4 blocks.
struct Place {
    layer: u32,
    model: u32,
    rows: u32,
    columns: u32,
    depth: u32,
    left: Operand,
    right: Operand,
    /// The row of C whose row of A is all ones, if there is one: the biases'.
    ones: u32,
    /// Where C starts in a part, if it is stored.
    stored: u32,
    /// How many invocations share the sums of an output, in `tile/sliced`.
    split: u32,
}

const NO_ONES: u32 = 0xffffffffu;

/// What is computed of it: a tile of C, counted row by row, and the terms `start` to below `end` of its sums.
struct Task {
    tile: u32,
    part: u32,
    start: u32,
    end: u32,
}

/// A tile of the part with this number, all parts being `slice` deep.
fn task(p: Place, tile: u32, part: u32, slice: u32) -> Task {
    return Task(tile, part, part * slice, min(p.depth, (part + 1u) * slice));
}

/// Where the vec4 at row i and column j of a part is stored.
fn stored_at(p: Place, part: u32, i: u32, j: u32) -> u32 {
    return (part * MODELS + p.model) * PART + p.stored + i * (p.columns / 4u) + j / 4u;
}
