// layer norm: normed = (z - mean) / sqrt(variance + epsilon) over the neurons of a layer; a workgroup for each row

@compute @workgroup_size(LANES)
fn layer_norm(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    let l = layer(LAYER);
    let i = group.x + group.y * groups.x;
    let row = normed_of(LAYER, group.z) + min(i, BATCH - 1u) * l.output_stride;
    let count = f32(l.outputs);
    var v = mat2x4f();
    // rounds: l.output_stride / LANES
    for (var j = lane; j < l.output_stride; j += LANES) {
        v += mat2x4f(activations[row + j], vec4f());
    }
    let mean = dot(over_lanes(v, lane)[0], vec4f(1.0)) / count;
    v = mat2x4f();
    // rounds: l.output_stride / LANES
    for (var j = lane; j < l.output_stride; j += LANES) {
        let z = keep(activations[row + j] - mean, 4u * j, l.outputs);
        v += mat2x4f(z * z, vec4f());
    }
    let inverse = 1.0 / sqrt(dot(over_lanes(v, lane)[0], vec4f(1.0)) / count + EPSILON);
    if i < BATCH {
        // rounds: l.output_stride / LANES
        for (var j = lane; j < l.output_stride; j += LANES) {
            activate_normed(group.z, i, j, inverse * (activations[row + j] - mean));
        }
        if TRAINS && lane == 0u {
            activations[inverse_of(group.z) + i] = vec4f(inverse);
        }
    }
}

/// dLoss/dz in place of dLoss/dy: inverse (g - mean g - normed mean(g normed)) for g = gain dLoss/dy.
@compute @workgroup_size(LANES)
fn layer_norm_delta(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) lane: u32) {
    let l = layer(LAYER);
    let i = group.x + group.y * groups.x;
    let first = min(i, BATCH - 1u) * l.output_stride;
    let normed = normed_of(LAYER, group.z) + first;
    let delta = delta_of(l, group.z) + first;
    let gain = vector_of(LAYER, GAIN, group.z);
    var v = mat2x4f();
    // rounds: l.output_stride / LANES
    for (var j = lane; j < l.output_stride; j += LANES) {
        let g = parameters[gain + j] * deltas[delta + j];
        v += mat2x4f(g, g * activations[normed + j]);
    }
    v = over_lanes(v, lane);
    let mean = dot(v[0], vec4f(1.0)) / f32(l.outputs);
    let slope = dot(v[1], vec4f(1.0)) / f32(l.outputs);
    if i < BATCH {
        let inverse = activations[inverse_of(group.z) + i];
        // rounds: l.output_stride / LANES
        for (var j = lane; j < l.output_stride; j += LANES) {
            let g = parameters[gain + j] * deltas[delta + j];
            deltas[delta + j] = keep(inverse * (g - mean - slope * activations[normed + j]), 4u * j, l.outputs);
        }
    }
}
