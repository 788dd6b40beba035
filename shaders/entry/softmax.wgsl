// softmax(y) = e^y / sum e^y over the outputs of each row, in their place, for predictions: an invocation a row

@compute @workgroup_size(LANES)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) lane: u32) {
    let l = layer(LAYERS - 1u);
    let i = (group.x + group.y * groups.x) * LANES + lane;
    if i < BATCH {
        let row = output_of(l, group.z) + i * l.output_stride;
        let normalizer = normalizer_of(row, l.outputs);
        for (var j = 0u; j < l.output_stride; j++) {
            activations[row + j] = keep(exp((activations[row + j] - normalizer.x) - normalizer.y), 4u * j, l.outputs);
        }
    }
}
