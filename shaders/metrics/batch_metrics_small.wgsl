// The mean loss and the number of correct predictions of every step of the window, written to the metrics ring. For
// small batches: one invocation per step.

@compute @workgroup_size(64)
fn batch_metrics_small(@builtin(global_invocation_id) id: vec3u) {
    let slot = id.x;
    let member = id.z;
    if slot < WINDOW {
        let step = step_in_slot(slot, member);
        var sum = vec2f();
        // rounds: BATCH
        for (var row = 0u; row < step.rows; row++) {
            sum += row_loss_and_correct(
                row_offset(slot, member, OUTPUT, row, OUTPUT_STRIDE),
                row_offset(slot, member, TARGET, row, OUTPUT_STRIDE));
        }
        if step.rows > 0u {
            metrics[step.metrics_index * MEMBERS + member] = vec2f(step.loss_scale * sum.x, sum.y);
        }
    }
}
