// Softmax's delta alone: a workgroup takes as many softmax_delta_rows as it has invocations.

@compute @workgroup_size(INVOCATIONS)
fn softmax_delta_rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    softmax_deltas((group.x + group.y * groups.x) * INVOCATIONS, INVOCATIONS, group.z, local);
}
