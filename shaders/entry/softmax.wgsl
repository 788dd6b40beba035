// Shares of the outputs of each row, for predictions: an invocation a row

@compute @workgroup_size(INVOCATIONS)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let l = layer(LAYERS - 1u);
    let i = (group.x + group.y * groups.x) * INVOCATIONS + local;
    if i < BATCH {
        softmax_row(output_offset(l, group.z) + i * l.output_stride, l.outputs, l.output_stride);
    }
}
