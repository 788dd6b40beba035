// The arenas of the kernels that prepare and row_loss_and_correct a window of steps: the rows of every step, gathered from the data
// set into slots, and what the network made of them. Bindings 3 and 4, the features and the targets, are declared where
// they are read. Which step lies in a slot, `epochs` and `pass` say.

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<storage, read> steps: array<Step>;
@group(0) @binding(2) var<uniform> shard: Shard;
@group(0) @binding(5) var<storage, read_write> rows: array<u32>;
@group(0) @binding(6) var<storage, read_write> activations: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> metrics: array<vec2f>;

/// The rows of the data set that `features` and `targets` hold: all of them, unless the device's bindings are too small.
struct Shard {
    first: u32,
    rows: u32,
}

/// Where a row of a slot inputs in `activations`, among the inputs (part 0), TARGET or OUTPUT.
fn row_offset(slot: u32, member: u32, part: u32, row: u32, stride: u32) -> u32 {
    return member * ACTIVATIONS + slot * SLOT_STRIDE + part + row * stride;
}
