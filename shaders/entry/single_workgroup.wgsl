// Complete training steps, several per dispatch: one workgroup per member computes the forward pass, the backward pass
// and the update of each step. The host generates `run_step`.

@compute @workgroup_size(INVOCATIONS)
fn single_workgroup(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    // rounds: STEPS
    for (var n = 0u; n < STEPS; n++) {
        steps_done = n;
        // The step table ends with steps without rows.
        let step = step_at(workgroup.z, n);
        if step.rows == 0u {
            break;
        }
        current_step = step;
        run_step(workgroup.z, n, local);
    }
}
