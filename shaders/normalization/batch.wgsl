// Batch normalization (Ioffe and Szegedy 2015): normalized = (z - mean) / sqrt(variance + epsilon), with the mean and
// the variance over the rows of the batch. One workgroup per vec4 of neurons.

/// Returns the offset in `state` of the layer's running mean; its running variance follows. They are after the
/// optimizer state.
fn running_stats_offset(member: u32) -> u32 {
    return RUNNING_STATS + member * RUNNING_STATS_STRIDE + RUNNING_STATS_LAYER;
}

/// Normalizes with the statistics of the batch, and updates the running statistics.
@compute @workgroup_size(INVOCATIONS)
fn batch_norm(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    let l = layer(LAYER);
    let j = workgroup.x;
    let column = normalized_offset(LAYER, workgroup.z) + j;
    let count = f32(max(current_step.rows, 1u));
    var sum = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        sum += mat2x4f(activations[column + i * l.output_stride], vec4f());
    }
    let mean = workgroup_reduce(sum, local)[0] / count;
    sum = mat2x4f();
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < current_step.rows; i += INVOCATIONS) {
        let deviation = activations[column + i * l.output_stride] - mean;
        sum += mat2x4f(deviation * deviation, vec4f());
    }
    let variance = workgroup_reduce(sum, local)[0] / count;
    let inverse_std = 1.0 / sqrt(variance + EPSILON);
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < BATCH; i += INVOCATIONS) {
        activate_normalized(workgroup.z, i, j, inverse_std * (activations[column + i * l.output_stride] - mean));
    }
    if local == 0u {
        activations[inverse_std_offset(workgroup.z) + j] = inverse_std;
        if UPDATES_RUNNING_STATS {
            let offset = running_stats_offset(workgroup.z) + j;
            let unbiased = variance * count / max(count - 1.0, 1.0);
            state[offset] += RUNNING_MOMENTUM * (mean - state[offset]);
            state[offset + l.output_stride] += RUNNING_MOMENTUM * (unbiased - state[offset + l.output_stride]);
        }
    }
}

/// Normalizes with the running statistics, for predictions.
@compute @workgroup_size(INVOCATIONS)
fn batch_norm_running(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let l = layer(LAYER);
    let j = workgroup.x;
    let column = normalized_offset(LAYER, workgroup.z) + j;
    let offset = running_stats_offset(workgroup.z) + j;
    let inverse_std = 1.0 / sqrt(state[offset + l.output_stride] + EPSILON);
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < BATCH; i += INVOCATIONS) {
        activate_normalized(
            workgroup.z, i, j, inverse_std * (activations[column + i * l.output_stride] - state[offset]));
    }
}

/// Replaces delta = dLoss/dy by dLoss/dz = gamma inverse_std (delta - mean(delta) - normalized mean(delta normalized)),
/// with means over the rows. The means come from the gradients of beta and gamma.
@compute @workgroup_size(INVOCATIONS)
fn batch_norm_delta(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    let l = layer(LAYER);
    let j = workgroup.x;
    let gradients = gamma_beta_gradients(workgroup.z, j, local);
    let count = f32(max(current_step.rows, 1u));
    let factor =
        parameters[vector_offset(LAYER, GAMMA, workgroup.z) + j] * activations[inverse_std_offset(workgroup.z) + j];
    // rounds: BATCH / INVOCATIONS
    for (var i = local; i < BATCH; i += INVOCATIONS) {
        let offset = i * l.output_stride + j;
        let normalized = activations[normalized_offset(LAYER, workgroup.z) + offset];
        let delta = factor * (deltas[delta_offset(l, workgroup.z) + offset]
            - gradients[1] / count - normalized * gradients[0] / count);
        // The deltas of padding rows are 0, so that they add nothing to the gradients.
        deltas[delta_offset(l, workgroup.z) + offset] =
            mask_padding(delta, 4u * j, select(0u, l.outputs, i < current_step.rows));
    }
}
