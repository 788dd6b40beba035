// The mean loss and the number of correct predictions of every step of the window, written to the metrics ring: the sum
// of the workgroups of `metrics/batch_metrics`, in a fixed order. One workgroup per step.

@compute @workgroup_size(64)
fn sum_metrics(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let slot = workgroup.y;
    let member = workgroup.z;
    var sum = vec2f();
    // rounds: METRICS_WORKGROUPS / 64
    for (var i = local; i < METRICS_WORKGROUPS; i += 64u) {
        sum += metrics[MEMBERS * METRICS_RING + (slot * MEMBERS + member) * METRICS_WORKGROUPS + i];
    }
    sum = workgroup_sum(sum, local);
    if local == 0u {
        let step = step_in_slot(slot, member);
        metrics[step.metrics_index * MEMBERS + member] = vec2f(step.loss_scale * sum.x, sum.y);
    }
}
