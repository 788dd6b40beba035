// The update from gradients that were kept whole, because batches are accumulated or because the length of all of them
// together is clipped: g <- g min(1, clip_norm / (|g| + 1e-6)). LANES invocations go over the parameters, a vec4 each.

/// Where the gradients of a network start in `parts`: behind those that were computed in parts.
fn kept_at(model: u32) -> u32 {
    return (KEPT * MODELS + model) * PARAMETERS;
}

/// Of the gradients' squares, the sum of those of a group of invocations, each with every `step`-th from `first` on.
fn squares(model: u32, first: u32, step: u32) -> vec4f {
    var sum = vec4f();
    for (var i = first; i < PARAMETERS; i += step) {
        let g = parts[kept_at(model) + i];
        sum += g * g;
    }
    return sum;
}

/// By what the kept gradients are multiplied, where the sum of their squares is this: the mean of the batches, clipped.
fn clipping(squares: vec4f) -> f32 {
    var factor = 1.0;
    if CLIPS {
        let length = sqrt(dot(squares, vec4f(1.0))) / ACCUMULATED;
        factor = min(1.0, current.clip_norm / (length + 1e-6));
    }
    return factor / ACCUMULATED;
}

/// 0 for a bias that penalties spare, else 1.
fn reach_of(i: u32) -> f32 {
    var reach = 1.0;
    for (var l = 0u; l < LAYERS && BIAS_REACH < 1.0; l++) {
        let bias = layer(l).weight + layer(l).inputs * layer(l).output_stride;
        reach = select(reach, BIAS_REACH, i >= bias && i < bias + layer(l).vectors * layer(l).output_stride);
    }
    return reach;
}

fn update_whole(model: u32, i: u32, factor: f32) {
    let at = model * PARAMETERS + i;
    parameters[at] = optimize(parameters[at], factor * parts[kept_at(model) + i], at, reach_of(i), current);
}
