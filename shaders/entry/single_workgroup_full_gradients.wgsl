// The end of a single_workgroup's step where the gradients were kept whole: one workgroup has all of them.

var<workgroup> norms: array<SquareSums, INVOCATIONS>;

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
