// The deltas of softmax with cross-entropy, as a dispatch: one invocation per row of the batch.

@compute @workgroup_size(INVOCATIONS)
fn softmax_delta_rows(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroup_count: vec3u,
                      @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    softmax_deltas((workgroup.x + workgroup.y * workgroup_count.x) * INVOCATIONS, INVOCATIONS, workgroup.z, local);
}
