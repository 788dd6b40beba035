// The workgroups of `measure` added up in a fixed order: (loss, right answers) of every step, into the ring.

@compute @workgroup_size(64)
fn total(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let slot = group.y;
    let model = group.z;
    var sum = vec2f();
    // rounds: MEASURES / 64
    for (var i = lane; i < MEASURES; i += 64u) {
        sum += metrics[MODELS * RING + (slot * MODELS + model) * MEASURES + i];
    }
    sum = over_workgroup(sum, lane);
    if lane == 0u {
        let step = step_in(slot, model);
        metrics[step.metrics_index * MODELS + model] = vec2f(step.loss_scale * sum.x, sum.y);
    }
}
