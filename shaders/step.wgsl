// The arenas of a step, and where the layers' rows lie in them.

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<storage, read> steps: array<Step>;
@group(0) @binding(2) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> activations: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> deltas: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> parts: array<vec4f>;

/// How many steps this dispatch has taken before this one: none, unless it takes several.
var<private> walked: u32;
/// The step that is being taken. An entry sets it, so that no finish has to read it.
var<private> current: Step;

/// Where the rows that layer l takes in at the n-th step of the dispatch start; for the first layer they lie in the window of
/// the batch. What decides how often there is a barrier comes from here and from `step_of`, and may not come from a private
/// variable: for all that WGSL knows those differ from invocation to invocation.
fn input_of(l: Layer, model: u32, n: u32) -> u32 {
    return model * ACTIVATIONS + l.input + (cursor.slot + n) * l.input_slot;
}

fn output_of(l: Layer, model: u32) -> u32 {
    return model * ACTIVATIONS + l.output + (cursor.slot + walked) * l.output_slot;
}

/// Where the expected outputs of the batch start.
fn expected_of(model: u32) -> u32 {
    return model * ACTIVATIONS + (cursor.slot + walked) * SLOT + EXPECTED;
}

fn weight_of(l: Layer, model: u32) -> u32 {
    return model * PARAMETERS + l.weight;
}

fn delta_of(l: Layer, model: u32) -> u32 {
    return model * DELTAS + l.delta;
}

fn step_of(model: u32, n: u32) -> Step {
    return steps[(cursor.step + n) * MODELS + model];
}
