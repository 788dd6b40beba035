// The update from full gradients, for gradient accumulation and for clipping by the norm of all gradients
// (Pascanu et al. 2013): g <- g min(1, clip_norm / (|g| + 1e-6)). INVOCATIONS invocations share the PARAMETERS vec4s of
// a member.

/// Returns the offset of a member's full gradients in `partial_sums`, in vec4s. They follow the partial sums of
/// split-K.
fn full_gradients_offset(member: u32) -> u32 {
    return (FULL_GRADIENTS * MEMBERS + member) * PARAMETERS;
}

/// 2^-64. The square of SQUARE_SCALE g fits in f32 for every finite gradient g.
const SQUARE_SCALE: f32 = 5.421010862427522e-20;
/// 2^120. A larger sum of squares is close to the largest f32, or has overflowed.
const MAX_SQUARE_SUM: f32 = 1.329227995784916e36;

/// Two sums over the same gradients: of their squares, and of the squares of the gradients times SQUARE_SCALE. The
/// second sum is used if the first is too large for f32. Underflow is harmless, because 1e-6 is added to the norm.
struct SquareSums { squares: vec4f, scaled_squares: vec4f }

/// Returns a + b.
fn add_square_sums(a: SquareSums, b: SquareSums) -> SquareSums {
    return SquareSums(a.squares + b.squares, a.scaled_squares + b.scaled_squares);
}

/// Returns the sums over every `step`-th vec4 of a member's full gradients, from index `first`.
fn sum_of_squares(member: u32, first: u32, step: u32) -> SquareSums {
    var sum = SquareSums();
    // rounds: PARAMETERS / step
    for (var i = first; i < PARAMETERS; i += step) {
        let g = partial_sums[full_gradients_offset(member) + i];
        let scaled = SQUARE_SCALE * g;
        sum.squares += g * g;
        sum.scaled_squares += scaled * scaled;
    }
    return sum;
}

/// Returns two factors for the full gradients whose sums of squares are `sum`. Their product turns the accumulated
/// gradients into the mean over the batches, clipped by the norm. The product alone might underflow, so the second
/// factor is SQUARE_SCALE if the sum is too large, otherwise 1.
fn clip_norm_factors(sum: SquareSums) -> vec2f {
    var factor = 1.0;
    var scale = 1.0;
    if CLIPS_NORM {
        let square_sum = dot(sum.squares, vec4f(1.0));
        let norm = sqrt(square_sum) / ACCUMULATED_BATCHES;
        factor = min(1.0, current_step.clip_norm / (norm + 1e-6));
        if !(square_sum < MAX_SQUARE_SUM) {
            scale = SQUARE_SCALE;
            factor = min(
                1.0 / SQUARE_SCALE,
                current_step.clip_norm / (sqrt(dot(sum.scaled_squares, vec4f(1.0))) / ACCUMULATED_BATCHES));
        }
    }
    return vec2f(factor / ACCUMULATED_BATCHES, scale);
}

/// Returns the factor of the penalties for the vec4 `i` of the parameters: BIAS_PENALTY_MASK for the rows after the
/// weights of a layer, otherwise 1.
fn penalty_mask_at(i: u32) -> f32 {
    var penalty_mask = 1.0;
    // rounds: LAYERS if LAYERS > 32
    for (var l = 0u; l < LAYERS && BIAS_PENALTY_MASK < 1.0; l++) {
        let bias = layer(l).weights_offset + layer(l).inputs * layer(l).output_stride;
        penalty_mask = select(
            penalty_mask, BIAS_PENALTY_MASK, i >= bias && i < bias + layer(l).vector_rows * layer(l).output_stride);
    }
    return penalty_mask;
}

/// Updates the vec4 `i` of a member's parameters. `factors` comes from `clip_norm_factors`.
fn update_from_full_gradient(member: u32, i: u32, factors: vec2f) {
    let index = member * PARAMETERS + i;
    parameters[index] = optimize(
        parameters[index],
        factors.x * (factors.y * partial_sums[full_gradients_offset(member) + i]),
        index,
        penalty_mask_at(i),
        current_step);
}
