// The structs and helpers of all kernels. The host generates the constants (BATCH, MEMBERS, ...) and the function
// `layer`, which returns the layout of a layer.

/// The position of a dispatch in the chunk.
struct Cursor {
    /// The row of the step table. For a kernel over a window of steps, it is the row of the first step of the window.
    step: u32,
    /// The slot of the window that contains the rows of this step.
    slot: u32,
}

/// One step of one member: `Step` in `src/engine/step.rs`.
struct Step {
    rows: u32,
    first_position: u32,
    shuffle_key: vec2u,
    /// The reciprocal of the number of values in the mean of the loss.
    loss_scale: f32,
    metrics_index: u32,
    /// 1 if the step clears the gradients first; always 1 without gradient accumulation.
    clears_gradients: u32,
    /// 1 if the step updates the parameters; always 1 without gradient accumulation.
    applies_update: u32,
    // The coefficients of the update. The host generates the indices of the optimizer's coefficients, with the names in
    // `src/optim/coefficients.rs`.
    learning_rate: f32,
    coefficients: array<f32, 6>,
    decay: f32,
    l1: f32,
    clip_value: f32,
    clip_norm: f32,
    ema_weight: f32,
    // The dropout of the member, if each member has its own dropout probability; see `Dropout`.
    dropout_threshold: u32,
    dropout_scale: f32,
}

/// The layout of a dense layer. Offsets and strides count vec4s in the arena of one member.
struct Layer {
    inputs: u32,
    outputs: u32,
    /// In `activations`: the offset of the input rows, the distance between two rows, and the distance between two
    /// slots of the window.
    input_offset: u32,
    input_stride: u32,
    input_slot_stride: u32,
    /// The same numbers for the output rows, in `activations`.
    output_offset: u32,
    output_stride: u32,
    output_slot_stride: u32,
    /// In `parameters`: the offset of the weights, one row per input. The row of the biases follows.
    weights_offset: u32,
    /// In `deltas`: the offset of dLoss/dz, which has the same rows as the output.
    delta_offset: u32,
    /// The number of rows after the weights: the biases, and the parameters of a normalization or PReLU.
    vector_rows: u32,
    /// The index of the layer's first block of work: the first workgroup of its matmul in `entry/grid`, the first 4x4
    /// block of its weights or gradients in `entry/fused` and `entry/single_invocation`.
    first_block: u32,
    /// The number of invocations per sum of sliced-K, for the matmuls forward, input delta and gradient.
    sliced_k: vec3u,
}

/// Returns the columns `column` to `column + 3`, with 0 in the padding from `columns` on.
fn mask_padding(v: vec4f, column: u32, columns: u32) -> vec4f {
    return select(vec4f(), v, vec4u(column) + vec4u(0u, 1u, 2u, 3u) < vec4u(columns));
}

/// Returns a b^T, one row per matrix column.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
    return mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b);
}
