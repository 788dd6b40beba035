// p <- optimize(p, dLoss/dp): the gradient is used where it arises and stored nowhere

fn update_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    if i <= l.inputs {
        let at = weights_offset(l, p.member) + i * l.output_stride + j / 4u;
        parameters[at] = optimize(parameters[at], v, at, select(1.0, BIAS_PENALTY_MASK, i == l.inputs), current_step);
    }
}
