// Of each label what the rows of an evaluation weigh so far that have it, that are predicted to have it, and both; behind the
// other sums of `score`.

fn add_label_sums(member: u32, rows: u32, local: u32) {
    // rounds: LABEL_VEC4S
    for (var j = 0u; j < LABEL_VEC4S; j++) {
        var expected = vec4f();
        var predicted = vec4f();
        var both = vec4f();
        // rounds: BATCH / 64
        for (var row = local; row < rows; row += 64u) {
            let t = target_row_offset(member, row);
            let has = select(vec4f(), vec4f(sample_weight(t)), activations[t + j] > vec4f(0.5));
            let is_above = activations[output_row_offset(member, row) + j] > vec4f(DECISION_THRESHOLD);
            expected += has;
            predicted += select(vec4f(), vec4f(sample_weight(t)), is_above);
            both += select(vec4f(), has, is_above);
        }
        let at = member * METRIC_PAIRS + 2u + 4u * ERROR_VEC4S + 6u * j;
        add_to_metrics(at, expected.xy, local);
        add_to_metrics(at + 1u, expected.zw, local);
        add_to_metrics(at + 2u, predicted.xy, local);
        add_to_metrics(at + 3u, predicted.zw, local);
        add_to_metrics(at + 4u, both.xy, local);
        add_to_metrics(at + 5u, both.zw, local);
    }
}
