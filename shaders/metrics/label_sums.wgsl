// Multi-label sums of an evaluation, per label: the weights of the rows that have the label, of the rows that are
// predicted to have it, and of the rows with both. They follow the other sums of `metrics/evaluation_sums`.

/// Adds the sums over the `rows` rows of the current batch.
fn add_label_sums(member: u32, rows: u32, local: u32) {
    // rounds: LABEL_VEC4S
    for (var j = 0u; j < LABEL_VEC4S; j++) {
        var positive = vec4f();
        var predicted = vec4f();
        var both = vec4f();
        // rounds: BATCH / 64
        for (var row = local; row < rows; row += 64u) {
            let t = target_row_offset(member, row);
            let target_weight = select(vec4f(), vec4f(sample_weight(t)), activations[t + j] > vec4f(0.5));
            let is_predicted = activations[output_row_offset(member, row) + j] > vec4f(DECISION_THRESHOLD);
            positive += target_weight;
            predicted += select(vec4f(), vec4f(sample_weight(t)), is_predicted);
            both += select(vec4f(), target_weight, is_predicted);
        }
        let offset = member * METRIC_PAIRS + 2u + 4u * ERROR_VEC4S + 6u * j;
        add_to_metrics(offset, positive.xy, local);
        add_to_metrics(offset + 1u, positive.zw, local);
        add_to_metrics(offset + 2u, predicted.xy, local);
        add_to_metrics(offset + 3u, predicted.zw, local);
        add_to_metrics(offset + 4u, both.xy, local);
        add_to_metrics(offset + 5u, both.zw, local);
    }
}
