// gradients = dLoss/dp, laid out as the parameters, for who asks for them

fn finish(p: Place, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    if i <= l.inputs {
        gradients[weight_of(l, p.model) + i * l.output_stride + j / 4u] = v;
    }
}
