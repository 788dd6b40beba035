// g <- dLoss/dp of this batch, or g <- g + dLoss/dp for the next batches of an update. The full gradients g have the
// layout of the parameters.

/// Accumulates the gradients v at row i and columns j to j + 3.
fn accumulate_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) {
    if i <= layer(p.layer).inputs {
        let offset = full_gradients_offset(p.member) + p.c_offset + i * (p.columns / 4u) + j / 4u;
        partial_sums[offset] = v + select(partial_sums[offset], vec4f(), current_step.clears_gradients == 1u);
    }
}
