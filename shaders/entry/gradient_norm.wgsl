// The sum of all gradients' sum_of_squares, a part for each workgroup, behind the gradients.

var<workgroup> sums: array<SquareSums, INVOCATIONS>;

@compute @workgroup_size(INVOCATIONS)
fn gradient_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let step = step_at(group.z, 0u);
    if step.applies_update == 1u {
        current_step = step;
        sums[local] = sum_of_squares(group.z, group.x * INVOCATIONS + local, NORM_WORKGROUPS * INVOCATIONS);
        // rounds: 6
        for (var half = INVOCATIONS / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if local < half {
                sums[local] = add_square_sums(sums[local], sums[local + half]);
            }
        }
        if local == 0u {
            let at = full_gradients_offset(MEMBERS) + 2u * (group.z * NORM_WORKGROUPS + group.x);
            partial_sums[at] = sums[0].squares;
            partial_sums[at + 1u] = sums[0].scaled_squares;
        }
    }
}
