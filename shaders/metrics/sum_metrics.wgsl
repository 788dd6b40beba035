// The workgroups of `measure` added up in a fixed order: (loss, right targets) of every step, into the ring.

@compute @workgroup_size(64)
fn sum_metrics(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let slot = group.y;
    let member = group.z;
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
