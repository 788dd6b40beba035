// The arenas of a step, and where the layers' rows lie in them.

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<storage, read> steps: array<Step>;
@group(0) @binding(2) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> activations: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> deltas: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> partial_sums: array<vec4f>;

/// How many steps this dispatch has taken before this one: none, unless it takes several.
var<private> steps_done: u32;
/// The step that is being taken. An entry sets it, so that no finish has to read it.
var<private> current_step: Step;

/// Where the rows that layer l takes in at the n-th step of the dispatch start; for the first layer they lie in the window of
/// the batch. What decides how often there is a barrier comes from here and from `step_at`, and may not come from a private
/// variable: for all that WGSL knows those differ from invocation to invocation.
fn input_offset(l: Layer, member: u32, n: u32) -> u32 {
    return member * ACTIVATIONS + l.input_offset + (cursor.slot + n) * l.input_slot_stride;
}

fn output_offset(l: Layer, member: u32) -> u32 {
    return member * ACTIVATIONS + l.output_offset + (cursor.slot + steps_done) * l.output_slot_stride;
}

/// Where the expected outputs of the batch start.
fn target_offset(member: u32) -> u32 {
    return member * ACTIVATIONS + (cursor.slot + steps_done) * SLOT_STRIDE + TARGET;
}

fn weights_offset(l: Layer, member: u32) -> u32 {
    return member * PARAMETERS + l.weights_offset;
}

fn delta_offset(l: Layer, member: u32) -> u32 {
    return member * DELTAS + l.delta_offset;
}

fn step_at(member: u32, n: u32) -> Step {
    return steps[(cursor.step + n) * MEMBERS + member];
}
