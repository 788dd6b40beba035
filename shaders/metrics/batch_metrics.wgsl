// Loss and right targets of every step of the window, one invocation a row, summed in a fixed order over the workgroup;
// `total` adds up the workgroups.

@compute @workgroup_size(64)
fn batch_metrics(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let slot = group.y;
    let member = group.z;
    let row = group.x * 64u + local;
    var sum = vec2f();
    if row < step_in_slot(slot, member).rows {
        sum = row_loss_and_correct(row_offset(slot, member, OUTPUT, row, OUTPUT_STRIDE), row_offset(slot, member, TARGET, row, OUTPUT_STRIDE));
    }
    sum = workgroup_sum(sum, local);
    if local == 0u {
        metrics[MEMBERS * METRICS_RING + (slot * MEMBERS + member) * groups.x + group.x] = sum;
    }
}
