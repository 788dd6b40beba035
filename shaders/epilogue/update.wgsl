// p <- optimize(p, dLoss/dp). The gradient is used at once and never stored.

/// Updates the parameters at row i and columns j to j + 3; v is their gradient.
fn update_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    if i <= l.inputs {
        let index = weights_offset(l, p.member) + i * l.output_stride + j / 4u;
        parameters[index] = optimize(
            parameters[index], v, index, select(1.0, BIAS_PENALTY_MASK, i == l.inputs), current_step);
    }
}
