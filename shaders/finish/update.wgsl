// p <- optimize(p, dLoss/dp): the gradient is used where it arises and stored nowhere

fn update_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    if i <= l.inputs {
        let at = weight_of(l, p.model) + i * l.output_stride + j / 4u;
        parameters[at] = optimize(parameters[at], v, at, select(1.0, BIAS_REACH, i == l.inputs), current);
    }
}
