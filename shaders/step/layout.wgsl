// What every kernel knows: the struct of a step, and where the layers lie. The assembler generates the constants that it
// uses (BATCH, MEMBERS, ...) and `fn layer(l) -> Layer`.

/// Where the dispatch stands in the chunk.
struct Cursor {
    /// Row of the step table: for a kernel over a window of steps, that of the window's first step.
    step: u32,
    /// Slot of the window that holds this step's rows.
    slot: u32,
}

/// One step of one network: `Step` in `src/step.rs`.
struct Step {
    rows: u32,
    first_position: u32,
    shuffle_key: vec2u,
    /// One over how many numbers the mean of the loss goes.
    loss_scale: f32,
    metrics_index: u32,
    /// 1 where the gradients start anew, and where they make an update: always, unless batches are accumulated.
    clears_gradients: u32,
    applies_update: u32,
    // What the update needs: the linker names the coefficients of the optimizer, as `src/optimizer/coefficients.rs` does.
    learning_rate: f32,
    coefficients: array<f32, 6>,
    decay: f32,
    l1: f32,
    clip_value: f32,
    clip_norm: f32,
    ema_weight: f32,
    // What a network drops, where each has a share of its own: see `dropout`.
    dropout_threshold: u32,
    dropout_scale: f32,
}

/// A dense layer. Offsets and strides count vec4s, in the arena of one network.
struct Layer {
    inputs: u32,
    outputs: u32,
    /// In `activations`: the rows that come in, how far apart they lie, and how far apart the slots of the window lie.
    input_offset: u32,
    input_stride: u32,
    input_slot_stride: u32,
    /// In `activations`: the rows that go out.
    output_offset: u32,
    output_stride: u32,
    output_slot_stride: u32,
    /// In `parameters`: the weights; the biases are the row after the last.
    weights_offset: u32,
    /// In `deltas`: dLoss/dz, laid out as the output.
    delta_offset: u32,
    /// How many rows lie behind the weights: the biases, and what a norm or a prelu learns.
    vector_rows: u32,
    /// The first of its workgroups in the dispatch over all layers' gradients; in `entry/local` the first block of its
    /// weights.
    first_workgroup: u32,
    /// How many invocations share the sums of an output of the forward product, the input delta and the gradient.
    sliced_k: vec3u,
}

/// v with 0 in the columns from `columns` on: what lies there is padding.
fn mask_padding(v: vec4f, column: u32, columns: u32) -> vec4f {
    return select(vec4f(), v, vec4u(column) + vec4u(0u, 1u, 2u, 3u) < vec4u(columns));
}

/// a b^T.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
    return mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b);
}
