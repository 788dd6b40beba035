// Whole steps, many of them, in one dispatch: one workgroup takes the batch through all layers, forward and back, updates the
// parameters, and goes on to the next.

@compute @workgroup_size(LANES)
fn walk(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    // rounds: WALK
    for (var n = 0u; n < WALK; n++) {
        walked = n;
        // The table of the chunk's steps ends with one without rows.
        let step = step_of(group.z, n);
        if step.rows == 0u {
            break;
        }
        current = step;
        walk_step(group.z, n, lane);
    }
}
