// The rows of the data set that each step of the window takes.

@compute @workgroup_size(64)
fn order(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let slot = i / BATCH;
    let row = i % BATCH;
    if slot < WINDOW {
        let step = step_in(slot, id.z);
        if row < step.rows {
            rows[(slot * MODELS + id.z) * BATCH + row] = row_at(step.first + row, step.key, id.z);
        }
    }
}
