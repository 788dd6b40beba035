// The update from gradients that were kept whole, because batches are accumulated or because the length of all of them
// together is clip_by_value: g <- g min(1, clip_norm / (|g| + 1e-6)). INVOCATIONS invocations go over the parameters, a vec4 each.

/// Where the gradients of a network start in `partial_sums`: behind those that were computed in partial_sums.
fn full_gradients_offset(member: u32) -> u32 {
    return (FULL_GRADIENTS * MEMBERS + member) * PARAMETERS;
}

/// 2^-64. A gradient times this has a square that f32 holds, however large the gradient is.
const SQUARE_SCALE: f32 = 5.421010862427522e-20;
/// 2^120. A sum of sum_of_squares above this is close to the largest f32, or beyond it.
const MAX_SQUARE_SUM: f32 = 1.329227995784916e36;

/// A sum of sum_of_squares of gradients, and the sum of the sum_of_squares of the same gradients times SQUARE_SCALE. The second is used where the
/// first is too large for f32. A sum that is too small needs nothing: the length is added to 1e-6.
struct SquareSums { squares: vec4f, scaled_squares: vec4f }

fn add_square_sums(a: SquareSums, b: SquareSums) -> SquareSums {
    return SquareSums(a.squares + b.squares, a.scaled_squares + b.scaled_squares);
}

/// The sum of the sum_of_squares of every `step`-th gradient from `first` on.
fn sum_of_squares(member: u32, first: u32, step: u32) -> SquareSums {
    var sum = SquareSums();
    // rounds: PARAMETERS / step
    for (var i = first; i < PARAMETERS; i += step) {
        let g = partial_sums[full_gradients_offset(member) + i];
        let smaller = SQUARE_SCALE * g;
        sum.squares += g * g;
        sum.scaled_squares += smaller * smaller;
    }
    return sum;
}

/// The two factors by which the kept gradients are multiplied, where this is the sum of their sum_of_squares: together they give the
/// mean of the batches, clip_by_value. One factor alone might be too small for f32. The second is 1 unless the sum is too large.
fn clip_norm_factors(sum: SquareSums) -> vec2f {
    var factor = 1.0;
    var second = 1.0;
    if CLIPS_NORM {
        let plain = dot(sum.squares, vec4f(1.0));
        let length = sqrt(plain) / ACCUMULATED_BATCHES;
        factor = min(1.0, current_step.clip_norm / (length + 1e-6));
        if !(plain < MAX_SQUARE_SUM) {
            second = SQUARE_SCALE;
            factor = min(1.0 / SQUARE_SCALE, current_step.clip_norm / (sqrt(dot(sum.scaled_squares, vec4f(1.0))) / ACCUMULATED_BATCHES));
        }
    }
    return vec2f(factor / ACCUMULATED_BATCHES, second);
}

/// 0 for a bias that penalties spare, else 1.
fn penalty_mask_at(i: u32) -> f32 {
    var penalty_mask = 1.0;
    // rounds: LAYERS if LAYERS > 32
    for (var l = 0u; l < LAYERS && BIAS_PENALTY_MASK < 1.0; l++) {
        let bias = layer(l).weights_offset + layer(l).inputs * layer(l).output_stride;
        penalty_mask = select(penalty_mask, BIAS_PENALTY_MASK, i >= bias && i < bias + layer(l).vector_rows * layer(l).output_stride);
    }
    return penalty_mask;
}

fn update_from_full_gradient(member: u32, i: u32, factors: vec2f) {
    let at = member * PARAMETERS + i;
    parameters[at] = optimize(parameters[at], factors.x * (factors.y * partial_sums[full_gradients_offset(member) + i]), at, penalty_mask_at(i), current_step);
}
