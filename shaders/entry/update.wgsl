// The parameters changed by gradients that were kept whole.

@compute @workgroup_size(INVOCATIONS)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) local: u32) {
    let i = (group.x + group.y * groups.x) * INVOCATIONS + local;
    current_step = step_at(group.z, 0u);
    if current_step.applies_update == 1u && i < PARAMETERS {
        var sum = SquareSums();
        // rounds: NORM_WORKGROUPS
        for (var n = 0u; CLIPS_NORM && n < NORM_WORKGROUPS; n++) {
            let at = full_gradients_offset(MEMBERS) + 2u * (group.z * NORM_WORKGROUPS + n);
            sum = add_square_sums(sum, SquareSums(partial_sums[at], partial_sums[at + 1u]));
        }
        update_from_full_gradient(group.z, i, clip_norm_factors(sum));
    }
}
