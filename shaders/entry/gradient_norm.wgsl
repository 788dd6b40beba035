// The sum of squares of all gradients of a member. Each workgroup stores its sums after the full gradients;
// `entry/update` adds them.

var<workgroup> sums: array<SquareSums, INVOCATIONS>;

@compute @workgroup_size(INVOCATIONS)
fn gradient_norm(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let step = step_at(workgroup.z, 0u);
    if step.applies_update == 1u {
        current_step = step;
        sums[local] = sum_of_squares(workgroup.z, workgroup.x * INVOCATIONS + local, NORM_WORKGROUPS * INVOCATIONS);
        // rounds: 6
        for (var half = INVOCATIONS / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if local < half {
                sums[local] = add_square_sums(sums[local], sums[local + half]);
            }
        }
        if local == 0u {
            let offset = full_gradients_offset(MEMBERS) + 2u * (workgroup.z * NORM_WORKGROUPS + workgroup.x);
            partial_sums[offset] = sums[0].squares;
            partial_sums[offset + 1u] = sums[0].scaled_squares;
        }
    }
}
