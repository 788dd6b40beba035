// Shares of the outputs of each row, for predictions: an invocation a row

@compute @workgroup_size(LANES)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) lane: u32) {
    let l = layer(LAYERS - 1u);
    let i = (group.x + group.y * groups.x) * LANES + lane;
    if i < BATCH {
        softmax_of_row(output_of(l, group.z) + i * l.output_stride, l.outputs, l.output_stride);
    }
}
