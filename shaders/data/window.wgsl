// The bindings of the kernels over a window of steps: they gather the rows of each step into a slot, and compute
// metrics of the outputs. Bindings 3 and 4, the features and the targets, are declared in `features/` and `targets/`.
// `data/training_window` and `data/evaluation_window` define the step of each slot.

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<storage, read> steps: array<Step>;
@group(0) @binding(2) var<uniform> shard: Shard;
@group(0) @binding(5) var<storage, read_write> rows: array<u32>;
@group(0) @binding(6) var<storage, read_write> activations: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> metrics: array<vec2f>;

/// The rows of the data set in `features` and `targets`: all rows, unless a data set needs several bindings.
struct Shard {
    first: u32,
    rows: u32,
}

/// Returns the offset in `activations` of a row of a slot. `base` is 0 for the inputs, TARGET or OUTPUT, and `stride`
/// is the length of such a row in vec4s.
fn row_offset(slot: u32, member: u32, base: u32, row: u32, stride: u32) -> u32 {
    return member * ACTIVATIONS + slot * SLOT_STRIDE + base + row * stride;
}
