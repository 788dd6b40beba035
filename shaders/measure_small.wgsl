// Loss and right answers of every step of the window, into the ring, for batches so small that a step is one
// invocation's work.

@compute @workgroup_size(64)
fn measure_small(@builtin(global_invocation_id) id: vec3u) {
    let slot = id.x;
    let model = id.z;
    if slot < WINDOW {
        let step = step_in(slot, model);
        var sum = vec2f();
        // rounds: BATCH
        for (var row = 0u; row < step.rows; row++) {
            sum += judge(row_of(slot, model, OUTPUT, row, OUTPUT_STRIDE),
                         row_of(slot, model, EXPECTED, row, OUTPUT_STRIDE));
        }
        if step.rows > 0u {
            metrics[step.metrics_index * MODELS + model] = vec2f(step.loss_scale * sum.x, sum.y);
        }
    }
}
