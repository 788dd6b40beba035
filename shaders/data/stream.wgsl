// The rows of each step of the window, where the device does not hold the data set but the rows of some steps: they lie as
// they are taken, step after step and network after network, four an invocation.

@compute @workgroup_size(64)
fn stream(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let slot = i / (BATCH / 4u);
    if slot < WINDOW {
        let at = (slot * MEMBERS + id.z) * BATCH + i % (BATCH / 4u) * 4u;
        let before = cursor.step * MEMBERS * BATCH;
        rows[at] = before + at;
        rows[at + 1u] = before + at + 1u;
        rows[at + 2u] = before + at + 2u;
        rows[at + 3u] = before + at + 3u;
    }
}
