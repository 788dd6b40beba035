// delta = dLoss/dz of the last layer for a loss that looks at the whole row: softmax with cross-entropy. One invocation
// a row.

/// For some rows from the one numbered `first` on, as far as the batch goes.
fn softmax_deltas(first: u32, count: u32, model: u32, lane: u32) {
    let end = min(BATCH, first + count);
    // rounds: count / LANES
    for (var i = first + lane; i < end; i += LANES) {
        softmax_delta(i, model);
    }
}

fn softmax_delta(i: u32, model: u32) {
    let l = layer(LAYERS - 1u);
    let row = i * l.output_stride;
    let y = output_of(l, model) + row;
    let t = expected_of(model) + row;
    let normalizer = vec3f(normalizer_of(y, l.outputs), sum_of_row(t, l.outputs));
    // The rows that a short batch lacks teach nothing.
    let columns = select(0u, l.outputs, i < current.rows);
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        let gradient = loss_gradient(activations[y + j], activations[t + j], normalizer);
        deltas[delta_of(l, model) + row + j] = keep(current.loss_scale * gradient, 4u * j, columns) * row_weight(t);
    }
}
