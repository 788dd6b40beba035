// The sums of the losses and of the correct predictions of every step of the window: one invocation per row, one sum
// per workgroup, in a fixed order. `metrics/sum_metrics` adds the sums of the workgroups.

@compute @workgroup_size(64)
fn batch_metrics(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroup_count: vec3u,
                 @builtin(local_invocation_index) local: u32) {
    let slot = workgroup.y;
    let member = workgroup.z;
    let row = workgroup.x * 64u + local;
    var sum = vec2f();
    if row < step_in_slot(slot, member).rows {
        sum = row_loss_and_correct(
            row_offset(slot, member, OUTPUT, row, OUTPUT_STRIDE),
            row_offset(slot, member, TARGET, row, OUTPUT_STRIDE));
    }
    sum = workgroup_sum(sum, local);
    if local == 0u {
        metrics[MEMBERS * METRICS_RING + (slot * MEMBERS + member) * workgroup_count.x + workgroup.x] = sum;
    }
}
