// delta = dLoss/dz of the last layer, for a loss that needs all outputs of a row: softmax with cross-entropy. One
// invocation per row.

/// Computes the deltas of the batch's rows `first` to `first + count - 1`.
fn softmax_deltas(first: u32, count: u32, member: u32, local: u32) {
    let end = min(BATCH, first + count);
    // rounds: count / INVOCATIONS
    for (var i = first + local; i < end; i += INVOCATIONS) {
        softmax_delta(i, member);
    }
}

/// Computes the deltas of row i of the batch.
fn softmax_delta(i: u32, member: u32) {
    let l = layer(LAYERS - 1u);
    let row = i * l.output_stride;
    let y = output_offset(l, member) + row;
    let t = target_offset(member) + row;
    let softmax_terms = vec3f(log_sum_exp(y, l.outputs), row_sum(t, l.outputs));
    // The deltas of padding rows are 0, so that they add nothing to the gradients.
    let columns = select(0u, l.outputs, i < current_step.rows);
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        let gradient = loss_derivative(activations[y + j], activations[t + j], softmax_terms);
        deltas[delta_offset(l, member) + row + j] =
            mask_padding(current_step.loss_scale * gradient, 4u * j, columns) * sample_weight(t);
    }
}
