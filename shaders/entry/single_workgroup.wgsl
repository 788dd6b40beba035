// Whole steps, many of them, in one dispatch: one workgroup takes the batch through all layers, forward and back, updates the
// parameters, and goes on to the next.

@compute @workgroup_size(INVOCATIONS)
fn single_workgroup(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    // rounds: STEPS
    for (var n = 0u; n < STEPS; n++) {
        steps_done = n;
        // The table of the chunk's steps ends with one without rows.
        let step = step_at(group.z, n);
        if step.rows == 0u {
            break;
        }
        current_step = step;
        run_step(group.z, n, local);
    }
}
