// Layer normalization (Ba et al. 2016): normalized = (z - mean) / sqrt(variance + epsilon), with the mean and the
// variance over the neurons of the layer. One workgroup per row of the batch.

/// Normalizes one row.
@compute @workgroup_size(INVOCATIONS)
fn layer_norm(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroup_count: vec3u,
              @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    let l = layer(LAYER);
    let i = workgroup.x + workgroup.y * workgroup_count.x;
    let row = normalized_offset(LAYER, workgroup.z) + min(i, BATCH - 1u) * l.output_stride;
    let count = f32(l.outputs);
    var sum = mat2x4f();
    // rounds: l.output_stride / INVOCATIONS
    for (var j = local; j < l.output_stride; j += INVOCATIONS) {
        sum += mat2x4f(activations[row + j], vec4f());
    }
    let mean = dot(workgroup_reduce(sum, local)[0], vec4f(1.0)) / count;
    sum = mat2x4f();
    // rounds: l.output_stride / INVOCATIONS
    for (var j = local; j < l.output_stride; j += INVOCATIONS) {
        let deviation = mask_padding(activations[row + j] - mean, 4u * j, l.outputs);
        sum += mat2x4f(deviation * deviation, vec4f());
    }
    let inverse_std = 1.0 / sqrt(dot(workgroup_reduce(sum, local)[0], vec4f(1.0)) / count + EPSILON);
    if i < BATCH {
        // rounds: l.output_stride / INVOCATIONS
        for (var j = local; j < l.output_stride; j += INVOCATIONS) {
            activate_normalized(workgroup.z, i, j, inverse_std * (activations[row + j] - mean));
        }
        if IS_TRAINING && local == 0u {
            activations[inverse_std_offset(workgroup.z) + i] = vec4f(inverse_std);
        }
    }
}

/// Replaces delta = dLoss/dy by dLoss/dz = inverse_std (g - mean(g) - normalized mean(g normalized)) for g = gamma
/// delta, with means over the neurons.
@compute @workgroup_size(INVOCATIONS)
fn layer_norm_delta(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroup_count: vec3u,
                    @builtin(local_invocation_index) local: u32) {
    let l = layer(LAYER);
    let i = workgroup.x + workgroup.y * workgroup_count.x;
    let row = min(i, BATCH - 1u) * l.output_stride;
    let normalized = normalized_offset(LAYER, workgroup.z) + row;
    let delta = delta_offset(l, workgroup.z) + row;
    let gamma = vector_offset(LAYER, GAMMA, workgroup.z);
    var sum = mat2x4f();
    // rounds: l.output_stride / INVOCATIONS
    for (var j = local; j < l.output_stride; j += INVOCATIONS) {
        let g = parameters[gamma + j] * deltas[delta + j];
        sum += mat2x4f(g, g * activations[normalized + j]);
    }
    sum = workgroup_reduce(sum, local);
    let mean_g = dot(sum[0], vec4f(1.0)) / f32(l.outputs);
    let mean_g_normalized = dot(sum[1], vec4f(1.0)) / f32(l.outputs);
    if i < BATCH {
        let inverse_std = activations[inverse_std_offset(workgroup.z) + i];
        // rounds: l.output_stride / INVOCATIONS
        for (var j = local; j < l.output_stride; j += INVOCATIONS) {
            let g = parameters[gamma + j] * deltas[delta + j];
            deltas[delta + j] = mask_padding(
                inverse_std * (g - mean_g - mean_g_normalized * activations[normalized + j]), 4u * j, l.outputs);
        }
    }
}
