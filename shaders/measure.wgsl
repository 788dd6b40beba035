// Loss and right answers of every step of the window, one invocation a row, summed in a fixed order over the workgroup;
// `total` adds up the workgroups.

@compute @workgroup_size(64)
fn measure(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) lane: u32) {
    let slot = group.y;
    let model = group.z;
    let row = group.x * 64u + lane;
    var sum = vec2f();
    if row < step_in(slot, model).rows {
        sum = judge(row_of(slot, model, OUTPUT, row, OUTPUT_STRIDE), row_of(slot, model, EXPECTED, row, OUTPUT_STRIDE));
    }
    sum = over_workgroup(sum, lane);
    if lane == 0u {
        metrics[MODELS * RING + (slot * MODELS + model) * groups.x + group.x] = sum;
    }
}
