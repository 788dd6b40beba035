// Softmax's delta alone: a workgroup takes as many rows as it has invocations.

@compute @workgroup_size(LANES)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    softmax_deltas((group.x + group.y * groups.x) * LANES, LANES, group.z, lane);
}
