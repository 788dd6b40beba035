// What the networks are worth on the rows of an evaluation so far, a workgroup each: the sums of their losses, of the weights
// of right answers and of all rows, and for outputs that are values those of their errors, squared and absolute.

@compute @workgroup_size(64)
fn score(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let model = group.z;
    let first = step_in(0u, model).first_position;
    let rows = min(BATCH, max(rows_of(model), first) - first);
    var judged = vec2f();
    var weights = vec2f();
    // rounds: BATCH / 64
    for (var row = lane; row < rows; row += 64u) {
        let t = expected_in(model, row);
        judged += judge(output_in(model, row), t);
        weights.x += row_weight(t);
        if SHARES {
            // The loss is of logits, the errors are those of what a network answers.
            softmax_of_row(output_in(model, row), OUTPUTS, OUTPUT_STRIDE);
        }
    }
    add(model * SCORE, judged, lane);
    add(model * SCORE + 1u, weights, lane);
    // rounds: SCORED
    for (var j = 0u; j < SCORED; j++) {
        var squared = vec4f();
        var absolute = vec4f();
        // rounds: BATCH / 64
        for (var row = lane; row < rows; row += 64u) {
            let t = expected_in(model, row);
            let error = activations[output_in(model, row) + j] - activations[t + j];
            squared += row_weight(t) * error * error;
            absolute += row_weight(t) * abs(error);
        }
        add(model * SCORE + 2u + 4u * j, squared.xy, lane);
        add(model * SCORE + 3u + 4u * j, squared.zw, lane);
        add(model * SCORE + 4u + 4u * j, absolute.xy, lane);
        add(model * SCORE + 5u + 4u * j, absolute.zw, lane);
    }
    if HAS_LABELS {
        add_labels(model, rows, lane);
    }
}

fn output_in(model: u32, row: u32) -> u32 {
    return row_of(0u, model, OUTPUT, row, OUTPUT_STRIDE);
}

fn expected_in(model: u32, row: u32) -> u32 {
    return row_of(0u, model, EXPECTED, row, OUTPUT_STRIDE);
}

/// Adds the sum over the workgroup to what the rows before have left.
fn add(at: u32, v: vec2f, lane: u32) {
    let sum = over_workgroup(v, lane);
    if lane == 0u {
        metrics[at] += sum;
    }
    // The next sum takes the same place.
    workgroupBarrier();
}
