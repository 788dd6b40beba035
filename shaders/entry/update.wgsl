// The update of the parameters from full gradients: one invocation per vec4 of parameters.

@compute @workgroup_size(INVOCATIONS)
fn update(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroup_count: vec3u,
          @builtin(local_invocation_index) local: u32) {
    let i = (workgroup.x + workgroup.y * workgroup_count.x) * INVOCATIONS + local;
    current_step = step_at(workgroup.z, 0u);
    if current_step.applies_update == 1u && i < PARAMETERS {
        var sum = SquareSums();
        // rounds: NORM_WORKGROUPS
        for (var n = 0u; CLIPS_NORM && n < NORM_WORKGROUPS; n++) {
            let offset = full_gradients_offset(MEMBERS) + 2u * (workgroup.z * NORM_WORKGROUPS + n);
            sum = add_square_sums(sum, SquareSums(partial_sums[offset], partial_sums[offset + 1u]));
        }
        update_from_full_gradient(workgroup.z, i, clip_norm_factors(sum));
    }
}
