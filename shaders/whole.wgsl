// The update from gradients that were kept whole, because batches are accumulated or because the length of all of them
// together is clipped: g <- g min(1, clip_norm / (|g| + 1e-6)). LANES invocations go over the parameters, a vec4 each.

/// Where the gradients of a network start in `parts`: behind those that were computed in parts.
fn kept_at(model: u32) -> u32 {
    return (KEPT * MODELS + model) * PARAMETERS;
}

/// 2^-64. A gradient times this has a square that f32 holds, however large the gradient is.
const SMALLER: f32 = 5.421010862427522e-20;
/// 2^120. A sum of squares above this is close to the largest f32, or beyond it.
const LARGEST_SUM: f32 = 1.329227995784916e36;

/// A sum of squares of gradients, and the sum of the squares of the same gradients times SMALLER. The second is used where the
/// first is too large for f32. A sum that is too small needs nothing: the length is added to 1e-6.
struct Squares { plain: vec4f, smaller: vec4f }

fn added_squares(a: Squares, b: Squares) -> Squares {
    return Squares(a.plain + b.plain, a.smaller + b.smaller);
}

/// The sum of the squares of every `step`-th gradient from `first` on.
fn squares(model: u32, first: u32, step: u32) -> Squares {
    var sum = Squares();
    // rounds: PARAMETERS / step
    for (var i = first; i < PARAMETERS; i += step) {
        let g = parts[kept_at(model) + i];
        let smaller = SMALLER * g;
        sum.plain += g * g;
        sum.smaller += smaller * smaller;
    }
    return sum;
}

/// The two factors by which the kept gradients are multiplied, where this is the sum of their squares: together they give the
/// mean of the batches, clipped. One factor alone might be too small for f32. The second is 1 unless the sum is too large.
fn clipping(sum: Squares) -> vec2f {
    var factor = 1.0;
    var second = 1.0;
    if CLIPS {
        let plain = dot(sum.plain, vec4f(1.0));
        let length = sqrt(plain) / ACCUMULATED;
        factor = min(1.0, current.clip_norm / (length + 1e-6));
        if !(plain < LARGEST_SUM) {
            second = SMALLER;
            factor = min(1.0 / SMALLER, current.clip_norm / (sqrt(dot(sum.smaller, vec4f(1.0))) / ACCUMULATED));
        }
    }
    return vec2f(factor / ACCUMULATED, second);
}

/// 0 for a bias that penalties spare, else 1.
fn reach_of(i: u32) -> f32 {
    var reach = 1.0;
    // rounds: LAYERS if LAYERS > 32
    for (var l = 0u; l < LAYERS && BIAS_REACH < 1.0; l++) {
        let bias = layer(l).weight + layer(l).inputs * layer(l).output_stride;
        reach = select(reach, BIAS_REACH, i >= bias && i < bias + layer(l).vectors * layer(l).output_stride);
    }
    return reach;
}

fn update_whole(model: u32, i: u32, factors: vec2f) {
    let at = model * PARAMETERS + i;
    parameters[at] = optimize(parameters[at], factors.x * (factors.y * parts[kept_at(model) + i]), at, reach_of(i), current);
}
