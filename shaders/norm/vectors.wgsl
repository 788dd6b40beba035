// What the kernels between a layer's sum and its activation share. Each is for one layer, LAYER.

var<workgroup> sums: array<mat2x4f, LANES>;

/// The sum of all invocations' `v`, in a fixed order, halves onto halves, for each of them.
fn over_lanes(v: mat2x4f, lane: u32) -> mat2x4f {
    workgroupBarrier();
    sums[lane] = v;
    // rounds: 6
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    workgroupBarrier();
    return sums[0];
}

/// Where the one over the root of the variance of each row or column lies.
fn inverse_of(model: u32) -> u32 {
    return normed_of(LAYER, model) + BATCH * layer(LAYER).output_stride;
}

/// What follows the norm: y = gain normed + shift, its activation, and in training the slope, where the delta will be.
fn activate_normed(model: u32, i: u32, j: u32, normed: vec4f) {
    let l = layer(LAYER);
    let at = i * l.output_stride + j;
    let y = parameters[vector_of(LAYER, GAIN, model) + j] * normed + parameters[vector_of(LAYER, SHIFT, model) + j];
    var a = activate(LAYER, y);
    if TRAINS {
        let share = share_of(i, 4u * j);
        activations[normed_of(LAYER, model) + at] = keep(normed, 4u * j, l.outputs);
        deltas[delta_of(l, model) + at] = keep(share * activate_gradient(LAYER, y, a), 4u * j, l.outputs);
        a *= share;
    }
    activations[output_of(l, model) + at] = keep(a, 4u * j, l.outputs);
}

/// Adds to the gradient of a vector of the layer, which is kept whole.
fn keep_gradient(vector: u32, model: u32, j: u32, v: vec4f) {
    let at = kept_at(model) + vector_of(LAYER, vector, 0u) + j;
    parts[at] = keep(v, 4u * j, layer(LAYER).outputs) + select(parts[at], vec4f(), current.clears_gradients == 1u);
}

/// The gradients of gain and shift, a workgroup for each vec4 of neurons: the sums over the rows of delta normed and delta.
fn gain_and_shift(model: u32, j: u32, lane: u32) -> mat2x4f {
    let l = layer(LAYER);
    var v = mat2x4f();
    // rounds: BATCH / LANES
    for (var i = lane; i < current.rows; i += LANES) {
        let at = i * l.output_stride + j;
        let delta = deltas[delta_of(l, model) + at];
        v += mat2x4f(delta * activations[normed_of(LAYER, model) + at], delta);
    }
    v = over_lanes(v, lane);
    if lane == 0u {
        keep_gradient(GAIN, model, j, v[0]);
        keep_gradient(SHIFT, model, j, v[1]);
    }
    return v;
}

@compute @workgroup_size(LANES)
fn gain_gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    let v = gain_and_shift(group.z, group.x, lane);
}

/// The gradients of learned slopes: the sums over the rows of what `input_delta_prelu` left.
@compute @workgroup_size(LANES)
fn slope_gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    var v = mat2x4f();
    // rounds: BATCH / LANES
    for (var i = lane; i < current.rows; i += LANES) {
        v += mat2x4f(activations[normed_of(LAYER, group.z) + i * layer(LAYER).output_stride + group.x], vec4f());
    }
    v = over_lanes(v, lane);
    if lane == 0u {
        keep_gradient(SLOPE, group.z, group.x, v[0]);
    }
}
