// batch norm: normalized = (z - mean) / sqrt(variance + epsilon) over the rows of a batch; a workgroup for each vec4 of neurons

/// Where the running mean and variance of the layer lie: behind the planes of the optimizer.
fn running_stats_offset(member: u32) -> u32 {
    return RUNNING_STATS + member * RUNNING_STATS_STRIDE + RUNNING_STATS_LAYER;
}

@compute @workgroup_size(INVOCATIONS)
fn batch_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    let l = layer(LAYER);
    let j = group.x;
    let column = normalized_offset(LAYER, group.z) + j;
    let count = f32(max(current_step.rows, 1u));
    var v = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        v += mat2x4f(activations[column + i * l.output_stride], vec4f());
    }
    let mean = workgroup_reduce(v, local)[0] / count;
    v = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        let z = activations[column + i * l.output_stride] - mean;
        v += mat2x4f(z * z, vec4f());
    }
    let variance = workgroup_reduce(v, local)[0] / count;
    let inverse_std = 1.0 / sqrt(variance + EPSILON);
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < BATCH; i += INVOCATIONS) {
        activate_normalized(group.z, i, j, inverse_std * (activations[column + i * l.output_stride] - mean));
    }
    if local == 0u {
        activations[inverse_std_offset(group.z) + j] = inverse_std;
        if UPDATES_RUNNING_STATS {
            let at = running_stats_offset(group.z) + j;
            let unbiased = variance * count / max(count - 1.0, 1.0);
            state[at] += RUNNING_MOMENTUM * (mean - state[at]);
            state[at + l.output_stride] += RUNNING_MOMENTUM * (unbiased - state[at + l.output_stride]);
        }
    }
}

/// With the running statistics, for predictions.
@compute @workgroup_size(INVOCATIONS)
fn batch_norm_running(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let l = layer(LAYER);
    let j = group.x;
    let column = normalized_offset(LAYER, group.z) + j;
    let at = running_stats_offset(group.z) + j;
    let inverse_std = 1.0 / sqrt(state[at + l.output_stride] + EPSILON);
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < BATCH; i += INVOCATIONS) {
        activate_normalized(group.z, i, j, inverse_std * (activations[column + i * l.output_stride] - state[at]));
    }
}

/// dLoss/dz in place of dLoss/dy: gain inverse_std (delta - mean delta - normalized mean(delta normalized)); the means are the gradients
/// of shift and gain.
@compute @workgroup_size(INVOCATIONS)
fn batch_norm_delta(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    let l = layer(LAYER);
    let j = group.x;
    let v = gamma_beta_gradients(group.z, j, local);
    let count = f32(max(current_step.rows, 1u));
    let factor = parameters[vector_offset(LAYER, GAMMA, group.z) + j] * activations[inverse_std_offset(group.z) + j];
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < BATCH; i += INVOCATIONS) {
        let at = i * l.output_stride + j;
        let normalized = activations[normalized_offset(LAYER, group.z) + at];
        let delta = factor * (deltas[delta_offset(l, group.z) + at] - v[1] / count - normalized * v[0] / count);
        // The rows that a short batch lacks teach nothing.
        deltas[delta_offset(l, group.z) + at] = mask_padding(delta, 4u * j, select(0u, l.outputs, i < current_step.rows));
    }
}
