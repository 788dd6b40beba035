// The softmax of the outputs of each row, for predictions: one invocation per row.

@compute @workgroup_size(INVOCATIONS)
fn softmax(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroup_count: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let l = layer(LAYERS - 1u);
    let i = (workgroup.x + workgroup.y * workgroup_count.x) * INVOCATIONS + local;
    if i < BATCH {
        softmax_row(output_offset(l, workgroup.z) + i * l.output_stride, l.outputs, l.output_stride);
    }
}
