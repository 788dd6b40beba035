// The arenas of a step, and the place of a workgroup in the product that it computes.

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<storage, read> steps: array<Step>;
@group(0) @binding(2) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> activations: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> deltas: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> gradients: array<vec4f>;

/// The product C = A B that a workgroup computes a tile of: C is `rows` x `columns`, A is `rows` x `depth`. All three
/// are whole 4x4 blocks. A and B start at `left` and `right` of their arenas and have their strides, in vec4s.
struct Place {
    layer: u32,
    model: u32,
    /// Which tile of C, counted row by row.
    tile: u32,
    rows: u32,
    columns: u32,
    depth: u32,
    left: u32,
    left_stride: u32,
    right: u32,
    right_stride: u32,
    /// The row of C whose row of A is all ones, if there is one: the biases'.
    ones: u32,
}

const NO_ONES: u32 = 0xffffffffu;

/// Where the rows that layer l takes in start; for the first layer they lie in the window of the batch.
fn input_of(l: Layer, model: u32) -> u32 {
    return model * ACTIVATIONS + l.input + cursor.slot * l.input_slot;
}

fn output_of(l: Layer, model: u32) -> u32 {
    return model * ACTIVATIONS + l.output + cursor.slot * l.output_slot;
}

/// Where the expected outputs of the batch start.
fn expected_of(model: u32) -> u32 {
    return model * ACTIVATIONS + cursor.slot * SLOT + EXPECTED;
}

fn weight_of(l: Layer, model: u32) -> u32 {
    return model * PARAMETERS + l.weight;
}

fn delta_of(l: Layer, model: u32) -> u32 {
    return model * DELTAS + l.delta;
}

fn step_of(model: u32) -> Step {
    return steps[cursor.step * MODELS + model];
}
