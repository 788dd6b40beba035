// The indices in the data set of the rows of each step of the window: four rows per invocation.

@compute @workgroup_size(64)
fn row_order(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroup_count: vec3u) {
    let i = id.x + id.y * workgroup_count.x * 64u;
    let slot = i / (BATCH / 4u);
    let row = i % (BATCH / 4u) * 4u;
    if slot < WINDOW {
        let step = step_in_slot(slot, id.z);
        if row < step.rows {
            let offset = (slot * MEMBERS + id.z) * BATCH + row;
            // The indices after the last row of a batch are never read.
            let indices = row_at(
                min(step.first_position + row + vec4u(0u, 1u, 2u, 3u), vec4u(row_count(id.z) - 1u)),
                step.shuffle_key,
                id.z);
            rows[offset] = indices.x;
            rows[offset + 1u] = indices.y;
            rows[offset + 2u] = indices.z;
            rows[offset + 3u] = indices.w;
        }
    }
}
