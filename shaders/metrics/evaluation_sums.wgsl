// The sums of an evaluation, added to those of the previous batches: one workgroup per member. The pairs of `metrics`
// are (loss, weight of the correct rows), (weight of all rows, 0) and, for targets that are values, the squared and the
// absolute errors of each output, two outputs per pair.

@compute @workgroup_size(64)
fn evaluation_sums(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let member = workgroup.z;
    let first = step_in_slot(0u, member).first_position;
    let rows = min(BATCH, max(row_count(member), first) - first);
    var loss_and_correct = vec2f();
    var weights = vec2f();
    // rounds: BATCH / 64
    for (var row = local; row < rows; row += 64u) {
        let t = target_row_offset(member, row);
        loss_and_correct += row_loss_and_correct(output_row_offset(member, row), t);
        weights.x += sample_weight(t);
        if APPLIES_SOFTMAX {
            // The loss needs the logits, the errors need the predictions.
            softmax_row(output_row_offset(member, row), OUTPUTS, OUTPUT_STRIDE);
        }
    }
    add_to_metrics(member * METRIC_PAIRS, loss_and_correct, local);
    add_to_metrics(member * METRIC_PAIRS + 1u, weights, local);
    // rounds: ERROR_VEC4S
    for (var j = 0u; j < ERROR_VEC4S; j++) {
        var squared = vec4f();
        var absolute = vec4f();
        // rounds: BATCH / 64
        for (var row = local; row < rows; row += 64u) {
            let t = target_row_offset(member, row);
            let error = activations[output_row_offset(member, row) + j] - activations[t + j];
            squared += sample_weight(t) * error * error;
            absolute += sample_weight(t) * abs(error);
        }
        add_to_metrics(member * METRIC_PAIRS + 2u + 4u * j, squared.xy, local);
        add_to_metrics(member * METRIC_PAIRS + 3u + 4u * j, squared.zw, local);
        add_to_metrics(member * METRIC_PAIRS + 4u + 4u * j, absolute.xy, local);
        add_to_metrics(member * METRIC_PAIRS + 5u + 4u * j, absolute.zw, local);
    }
    if HAS_LABELS {
        add_label_sums(member, rows, local);
    }
}

/// Returns the offset in `activations` of the outputs of a row.
fn output_row_offset(member: u32, row: u32) -> u32 {
    return row_offset(0u, member, OUTPUT, row, OUTPUT_STRIDE);
}

/// Returns the offset in `activations` of the targets of a row.
fn target_row_offset(member: u32, row: u32) -> u32 {
    return row_offset(0u, member, TARGET, row, OUTPUT_STRIDE);
}

/// Adds the sum of v over the workgroup to the pair `index` of `metrics`.
fn add_to_metrics(index: u32, v: vec2f, local: u32) {
    let sum = workgroup_sum(v, local);
    if local == 0u {
        metrics[index] += sum;
    }
    // The next sum uses the same workgroup memory.
    workgroupBarrier();
}
