// layer norm: normalized = (z - mean) / sqrt(variance + epsilon) over the neurons of a layer; a workgroup for each row

@compute @workgroup_size(INVOCATIONS)
fn layer_norm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    let l = layer(LAYER);
    let i = group.x + group.y * groups.x;
    let row = normalized_offset(LAYER, group.z) + min(i, BATCH - 1u) * l.output_stride;
    let count = f32(l.outputs);
    var v = mat2x4f();
    // rounds: l.output_stride / INVOCATIONS
    for (var j = local; j < l.output_stride; j += INVOCATIONS) {
        v += mat2x4f(activations[row + j], vec4f());
    }
    let mean = dot(workgroup_reduce(v, local)[0], vec4f(1.0)) / count;
    v = mat2x4f();
    // rounds: l.output_stride / INVOCATIONS
    for (var j = local; j < l.output_stride; j += INVOCATIONS) {
        let z = mask_padding(activations[row + j] - mean, 4u * j, l.outputs);
        v += mat2x4f(z * z, vec4f());
    }
    let inverse_std = 1.0 / sqrt(dot(workgroup_reduce(v, local)[0], vec4f(1.0)) / count + EPSILON);
    if i < BATCH {
        // rounds: l.output_stride / INVOCATIONS
        for (var j = local; j < l.output_stride; j += INVOCATIONS) {
            activate_normalized(group.z, i, j, inverse_std * (activations[row + j] - mean));
        }
        if IS_TRAINING && local == 0u {
            activations[inverse_std_offset(group.z) + i] = vec4f(inverse_std);
        }
    }
}

/// dLoss/dz in place of dLoss/dy: inverse_std (g - mean g - normalized mean(g normalized)) for g = gain dLoss/dy.
@compute @workgroup_size(INVOCATIONS)
fn layer_norm_delta(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
    let l = layer(LAYER);
    let i = group.x + group.y * groups.x;
    let first = min(i, BATCH - 1u) * l.output_stride;
    let normalized = normalized_offset(LAYER, group.z) + first;
    let delta = delta_offset(l, group.z) + first;
    let gain = vector_offset(LAYER, GAMMA, group.z);
    var v = mat2x4f();
    // rounds: l.output_stride / INVOCATIONS
    for (var j = local; j < l.output_stride; j += INVOCATIONS) {
        let g = parameters[gain + j] * deltas[delta + j];
        v += mat2x4f(g, g * activations[normalized + j]);
    }
    v = workgroup_reduce(v, local);
    let mean = dot(v[0], vec4f(1.0)) / f32(l.outputs);
    let slope = dot(v[1], vec4f(1.0)) / f32(l.outputs);
    if i < BATCH {
        let inverse_std = activations[inverse_std_offset(group.z) + i];
        // rounds: l.output_stride / INVOCATIONS
        for (var j = local; j < l.output_stride; j += INVOCATIONS) {
            let g = parameters[gain + j] * deltas[delta + j];
            deltas[delta + j] = mask_padding(inverse_std * (g - mean - slope * activations[normalized + j]), 4u * j, l.outputs);
        }
    }
}
