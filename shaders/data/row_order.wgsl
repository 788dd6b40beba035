// The rows of the data set that each step of the window takes, four an invocation.

@compute @workgroup_size(64)
fn row_order(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let slot = i / (BATCH / 4u);
    let row = i % (BATCH / 4u) * 4u;
    if slot < WINDOW {
        let step = step_in_slot(slot, id.z);
        if row < step.rows {
            let at = (slot * MEMBERS + id.z) * BATCH + row;
            // Behind the last row of a batch some are found that nobody looks at.
            let found = row_at(min(step.first_position + row + vec4u(0u, 1u, 2u, 3u), vec4u(row_count(id.z) - 1u)), step.shuffle_key, id.z);
            rows[at] = found.x;
            rows[at + 1u] = found.y;
            rows[at + 2u] = found.z;
            rows[at + 3u] = found.w;
        }
    }
}
