// What the kernels between a layer's sum and its activation share. Each is for one layer, LAYER.

var<workgroup> sums: array<mat2x4f, INVOCATIONS>;

/// The sum of all invocations' `v`, in a fixed order, halves onto halves, for each of them.
fn workgroup_reduce(v: mat2x4f, local: u32) -> mat2x4f {
    workgroupBarrier();
    sums[local] = v;
    // rounds: 6
    for (var half = INVOCATIONS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
        }
    }
    workgroupBarrier();
    return sums[0];
}

/// Where the one over the root of the variance of each row or column lies.
fn inverse_std_offset(member: u32) -> u32 {
    return normalized_offset(LAYER, member) + BATCH * layer(LAYER).output_stride;
}

/// What follows the norm: y = gain normalized + shift, its activation, and in training the slope, where the delta will be.
fn activate_normalized(member: u32, i: u32, j: u32, normalized: vec4f) {
    let l = layer(LAYER);
    let at = i * l.output_stride + j;
    let y = parameters[vector_offset(LAYER, GAMMA, member) + j] * normalized + parameters[vector_offset(LAYER, BETA, member) + j];
    var a = activate(LAYER, y);
    if IS_TRAINING {
        let share = layer_dropout_factors(i, 4u * j);
        activations[normalized_offset(LAYER, member) + at] = mask_padding(normalized, 4u * j, l.outputs);
        deltas[delta_offset(l, member) + at] = mask_padding(share * activate_derivative(LAYER, y, a), 4u * j, l.outputs);
        a *= share;
    }
    activations[output_offset(l, member) + at] = mask_padding(a, 4u * j, l.outputs);
}

/// Adds to the gradient of a vector of the layer, which is kept whole.
fn add_full_gradient(vector: u32, member: u32, j: u32, v: vec4f) {
    let at = full_gradients_offset(member) + vector_offset(LAYER, vector, 0u) + j;
    partial_sums[at] = mask_padding(v, 4u * j, layer(LAYER).outputs) + select(partial_sums[at], vec4f(), current_step.clears_gradients == 1u);
}

/// The gradients of gain and shift, a workgroup for each vec4 of neurons: the sums over the rows of delta normalized and delta.
fn gamma_beta_gradients(member: u32, j: u32, local: u32) -> mat2x4f {
    let l = layer(LAYER);
    var v = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        let at = i * l.output_stride + j;
        let delta = deltas[delta_offset(l, member) + at];
        v += mat2x4f(delta * activations[normalized_offset(LAYER, member) + at], delta);
    }
    v = workgroup_reduce(v, local);
    if local == 0u {
        add_full_gradient(GAMMA, member, j, v[0]);
        add_full_gradient(BETA, member, j, v[1]);
    }
    return v;
}

@compute @workgroup_size(INVOCATIONS)
fn normalization_gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    let v = gamma_beta_gradients(group.z, group.x, local);
}

/// The gradients of learned slopes: the sums over the rows of what `input_delta_prelu` left.
@compute @workgroup_size(INVOCATIONS)
fn prelu_slope_gradients(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    var v = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        v += mat2x4f(activations[normalized_offset(LAYER, group.z) + i * layer(LAYER).output_stride + group.x], vec4f());
    }
    v = workgroup_reduce(v, local);
    if local == 0u {
        add_full_gradient(PRELU_SLOPE, group.z, group.x, v[0]);
    }
}
