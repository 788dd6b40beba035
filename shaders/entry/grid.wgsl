// One product, or that of all layers' gradients: a workgroup computes one tile of one part.

// For each product of a kernel:

@compute @workgroup_size(LANES)
fn grid(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) lane: u32) {
    let number = group.x + group.y * groups.x;
    let within = number % GROUPS;
    let part = number / GROUPS;
    var l = FIRST_LAYER;
    for (; l < LAST_LAYER; l++) {
        if within < layer(l + 1u).first_group {
            break;
        }
    }
    var p = product_place(l, group.z);
    // The last workgroups may be too many.
    p.rows = select(0u, p.rows, part < PARTS);
    product_tile(p, task(p, within - layer(l).first_group, part, SLICE), lane);
}
