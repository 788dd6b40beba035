// The indices of the rows of each step of the window, for a streamed data set. The device then has only the rows of
// some steps, in the order of the steps and, within a step, of the members. Four rows per invocation.

@compute @workgroup_size(64)
fn stream(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroup_count: vec3u) {
    let i = id.x + id.y * workgroup_count.x * 64u;
    let slot = i / (BATCH / 4u);
    if slot < WINDOW {
        let offset = (slot * MEMBERS + id.z) * BATCH + i % (BATCH / 4u) * 4u;
        let window_start = cursor.step * MEMBERS * BATCH;
        rows[offset] = window_start + offset;
        rows[offset + 1u] = window_start + offset + 1u;
        rows[offset + 2u] = window_start + offset + 2u;
        rows[offset + 3u] = window_start + offset + 3u;
    }
}
