// Of each label what the rows of an evaluation weigh so far that have it, that are predicted to have it, and both; behind the
// other sums of `score`.

fn add_labels(model: u32, rows: u32, lane: u32) {
    // rounds: LABELS
    for (var j = 0u; j < LABELS; j++) {
        var expected = vec4f();
        var predicted = vec4f();
        var both = vec4f();
        // rounds: BATCH / 64
        for (var row = lane; row < rows; row += 64u) {
            let t = expected_in(model, row);
            let has = select(vec4f(), vec4f(row_weight(t)), activations[t + j] > vec4f(0.5));
            let is_above = activations[output_in(model, row) + j] > vec4f(THRESHOLD);
            expected += has;
            predicted += select(vec4f(), vec4f(row_weight(t)), is_above);
            both += select(vec4f(), has, is_above);
        }
        let at = model * SCORE + 2u + 4u * SCORED + 6u * j;
        add(at, expected.xy, lane);
        add(at + 1u, expected.zw, lane);
        add(at + 2u, predicted.xy, lane);
        add(at + 3u, predicted.zw, lane);
        add(at + 4u, both.xy, lane);
        add(at + 5u, both.zw, lane);
    }
}
