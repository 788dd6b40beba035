// delta = dLoss/dz of the last layer for a loss that looks at the whole row: softmax with cross-entropy. One invocation
// a row.

@compute @workgroup_size(64)
fn softmax_delta(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let l = layer(LAYERS - 1u);
    let model = id.z;
    let step = step_of(model);
    let i = id.x + id.y * groups.x * 64u;
    if i >= BATCH {
        return;
    }
    let row = i * l.output_stride;
    let y = output_of(l, model) + row;
    let normalizer = normalizer_of(y, l.outputs);
    // The rows that a short batch lacks teach nothing.
    let columns = select(0u, l.outputs, i < step.rows);
    for (var j = 0u; j < l.output_stride; j++) {
        let gradient = loss_gradient(activations[y + j], activations[expected_of(model) + row + j], normalizer);
        deltas[delta_of(l, model) + row + j] = keep(step.scale * gradient, 4u * j, columns);
    }
}
