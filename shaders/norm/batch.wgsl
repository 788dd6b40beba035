// batch norm: normed = (z - mean) / sqrt(variance + epsilon) over the rows of a batch; a workgroup for each vec4 of neurons

/// Where the running mean and variance of the layer lie: behind the planes of the optimizer.
fn running_of(model: u32) -> u32 {
    return RUNNING + model * STATISTICS + RUNNING_LAYER;
}

@compute @workgroup_size(LANES)
fn batch_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    let l = layer(LAYER);
    let j = group.x;
    let column = normed_of(LAYER, group.z) + j;
    let count = f32(max(current.rows, 1u));
    var v = mat2x4f();
    // rounds: BATCH / LANES
    for (var i = lane; i < current.rows; i += LANES) {
        v += mat2x4f(activations[column + i * l.output_stride], vec4f());
    }
    let mean = over_lanes(v, lane)[0] / count;
    v = mat2x4f();
    // rounds: BATCH / LANES
    for (var i = lane; i < current.rows; i += LANES) {
        let z = activations[column + i * l.output_stride] - mean;
        v += mat2x4f(z * z, vec4f());
    }
    let variance = over_lanes(v, lane)[0] / count;
    let inverse = 1.0 / sqrt(variance + EPSILON);
    // rounds: BATCH / LANES
    for (var i = lane; i < BATCH; i += LANES) {
        activate_normed(group.z, i, j, inverse * (activations[column + i * l.output_stride] - mean));
    }
    if lane == 0u {
        activations[inverse_of(group.z) + j] = inverse;
        if RUNS {
            let at = running_of(group.z) + j;
            let unbiased = variance * count / max(count - 1.0, 1.0);
            state[at] += RUNNING_MOMENTUM * (mean - state[at]);
            state[at + l.output_stride] += RUNNING_MOMENTUM * (unbiased - state[at + l.output_stride]);
        }
    }
}

/// With the running statistics, for predictions.
@compute @workgroup_size(LANES)
fn batch_norm_running(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let l = layer(LAYER);
    let j = group.x;
    let column = normed_of(LAYER, group.z) + j;
    let at = running_of(group.z) + j;
    let inverse = 1.0 / sqrt(state[at + l.output_stride] + EPSILON);
    // rounds: BATCH / LANES
    for (var i = lane; i < BATCH; i += LANES) {
        activate_normed(group.z, i, j, inverse * (activations[column + i * l.output_stride] - state[at]));
    }
}

/// dLoss/dz in place of dLoss/dy: gain inverse (delta - mean delta - normed mean(delta normed)); the means are the gradients
/// of shift and gain.
@compute @workgroup_size(LANES)
fn batch_norm_delta(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    let l = layer(LAYER);
    let j = group.x;
    let v = gain_and_shift(group.z, j, lane);
    let count = f32(max(current.rows, 1u));
    let factor = parameters[vector_of(LAYER, GAIN, group.z) + j] * activations[inverse_of(group.z) + j];
    // rounds: BATCH / LANES
    for (var i = lane; i < BATCH; i += LANES) {
        let at = i * l.output_stride + j;
        let normed = activations[normed_of(LAYER, group.z) + at];
        let delta = factor * (deltas[delta_of(l, group.z) + at] - v[1] / count - normed * v[0] / count);
        // The rows that a short batch lacks teach nothing.
        deltas[delta_of(l, group.z) + at] = keep(delta, 4u * j, select(0u, l.outputs, i < current.rows));
    }
}
