// The update from full gradients at the end of a step of `entry/single_workgroup`, in the same workgroup.

var<workgroup> norms: array<SquareSums, INVOCATIONS>;

/// Updates the parameters of a member, if the n-th step of the dispatch applies an update.
fn update_all(member: u32, n: u32, local: u32) {
    if step_at(member, n).applies_update == 1u {
        var sum = SquareSums();
        if CLIPS_NORM {
            workgroupBarrier();
            norms[local] = sum_of_squares(member, local, INVOCATIONS);
            workgroupBarrier();
            // rounds: INVOCATIONS
            for (var n = 0u; n < INVOCATIONS; n++) {
                sum = add_square_sums(sum, norms[n]);
            }
        }
        let factors = clip_norm_factors(sum);
        // rounds: PARAMETERS / INVOCATIONS
        for (var i = local; i < PARAMETERS; i += INVOCATIONS) {
            update_from_full_gradient(member, i, factors);
        }
    }
}
