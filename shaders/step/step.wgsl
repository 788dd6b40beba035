// The bindings of a training step, and the offsets of a layer's rows in the arenas. Arenas contain vec4s of all
// members.

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<storage, read> steps: array<Step>;
@group(0) @binding(2) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> activations: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> deltas: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> partial_sums: array<vec4f>;

/// The number of steps that this dispatch has completed: 0, unless it runs several steps.
var<private> steps_done: u32;
/// The current step. The entry point sets it, so that no epilogue has to read it from the step table.
var<private> current_step: Step;

/// Returns the offset of the inputs of layer l in the n-th step of the dispatch. The inputs of the first layer are in
/// the window of gathered rows.
///
/// Barriers need uniform control flow, so loop bounds around barriers come from here and from `step_at`. They must not
/// depend on a private variable: WGSL assumes that those differ between invocations.
fn input_offset(l: Layer, member: u32, n: u32) -> u32 {
    return member * ACTIVATIONS + l.input_offset + (cursor.slot + n) * l.input_slot_stride;
}

/// Returns the offset of the outputs of layer l in the current step.
fn output_offset(l: Layer, member: u32) -> u32 {
    return member * ACTIVATIONS + l.output_offset + (cursor.slot + steps_done) * l.output_slot_stride;
}

/// Returns the offset in `activations` of the targets of the batch.
fn target_offset(member: u32) -> u32 {
    return member * ACTIVATIONS + (cursor.slot + steps_done) * SLOT_STRIDE + TARGET;
}

/// Returns the offset in `parameters` of the weights of layer l.
fn weights_offset(l: Layer, member: u32) -> u32 {
    return member * PARAMETERS + l.weights_offset;
}

/// Returns the offset in `deltas` of the deltas of layer l.
fn delta_offset(l: Layer, member: u32) -> u32 {
    return member * DELTAS + l.delta_offset;
}

/// Returns the n-th step of this dispatch.
fn step_at(member: u32, n: u32) -> Step {
    return steps[(cursor.step + n) * MEMBERS + member];
}
