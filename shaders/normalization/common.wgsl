// The functions and kernels of layer LAYER that all normalizations and PReLU use. A normalization is between the
// pre-activation z and the activation: a = activate(gamma normalized(z) + beta).

var<workgroup> sums: array<mat2x4f, INVOCATIONS>;

/// Returns the sum of v over all invocations, in every invocation. The order is fixed: the second half is added to the
/// first half.
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

/// Returns the offset in `activations` of 1 / sqrt(variance + epsilon), one vec4 per row (layer normalization) or per
/// vec4 of neurons (batch normalization).
fn inverse_std_offset(member: u32) -> u32 {
    return normalized_offset(LAYER, member) + BATCH * layer(LAYER).output_stride;
}

/// Stores the activations of row i and the vec4 j of neurons: activate(gamma normalized + beta). Training also stores
/// `normalized`, and the derivative of the activation in `deltas`, until the delta replaces it.
fn activate_normalized(member: u32, i: u32, j: u32, normalized: vec4f) {
    let l = layer(LAYER);
    let offset = i * l.output_stride + j;
    let y = parameters[vector_offset(LAYER, GAMMA, member) + j] * normalized
        + parameters[vector_offset(LAYER, BETA, member) + j];
    var a = activate(LAYER, y);
    if IS_TRAINING {
        let dropout_factor = layer_dropout_factors(i, 4u * j);
        activations[normalized_offset(LAYER, member) + offset] = mask_padding(normalized, 4u * j, l.outputs);
        deltas[delta_offset(l, member) + offset] =
            mask_padding(dropout_factor * activate_derivative(LAYER, y, a), 4u * j, l.outputs);
        a *= dropout_factor;
    }
    activations[output_offset(l, member) + offset] = mask_padding(a, 4u * j, l.outputs);
}

/// Accumulates v into the full gradient of a row of per-neuron parameters, at the vec4 j.
fn add_full_gradient(vector: u32, member: u32, j: u32, v: vec4f) {
    let offset = full_gradients_offset(member) + vector_offset(LAYER, vector, 0u) + j;
    partial_sums[offset] = mask_padding(v, 4u * j, layer(LAYER).outputs)
        + select(partial_sums[offset], vec4f(), current_step.clears_gradients == 1u);
}

/// Accumulates and returns the gradients of gamma and beta: the sums over the rows of delta normalized and of delta.
/// One workgroup per vec4 j of neurons.
fn gamma_beta_gradients(member: u32, j: u32, local: u32) -> mat2x4f {
    let l = layer(LAYER);
    var sum = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        let offset = i * l.output_stride + j;
        let delta = deltas[delta_offset(l, member) + offset];
        sum += mat2x4f(delta * activations[normalized_offset(LAYER, member) + offset], delta);
    }
    sum = workgroup_reduce(sum, local);
    if local == 0u {
        add_full_gradient(GAMMA, member, j, sum[0]);
        add_full_gradient(BETA, member, j, sum[1]);
    }
    return sum;
}

/// Computes the gradients of gamma and beta for a layer normalization.
@compute @workgroup_size(INVOCATIONS)
fn normalization_gradients(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    let v = gamma_beta_gradients(workgroup.z, workgroup.x, local);
}

/// Computes the gradients of the PReLU slopes: the sums over the rows of the values from `epilogue/input_delta_prelu`.
@compute @workgroup_size(INVOCATIONS)
fn prelu_slope_gradients(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    var sum = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        sum += mat2x4f(
            activations[normalized_offset(LAYER, workgroup.z) + i * layer(LAYER).output_stride + workgroup.x], vec4f());
    }
    sum = workgroup_reduce(sum, local);
    if local == 0u {
        add_full_gradient(PRELU_SLOPE, workgroup.z, workgroup.x, sum[0]);
    }
}
