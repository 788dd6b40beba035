// The end of a walk's step where the gradients were kept whole: one workgroup has all of them.

var<workgroup> norms: array<Squares, LANES>;

fn update_all(model: u32, n: u32, lane: u32) {
    if step_of(model, n).applies_update == 1u {
        var sum = Squares();
        if CLIPS {
            workgroupBarrier();
            norms[lane] = squares(model, lane, LANES);
            workgroupBarrier();
            // rounds: LANES
            for (var n = 0u; n < LANES; n++) {
                sum = added_squares(sum, norms[n]);
            }
        }
        let factors = clipping(sum);
        // rounds: PARAMETERS / LANES
        for (var i = lane; i < PARAMETERS; i += LANES) {
            update_whole(model, i, factors);
        }
    }
}
