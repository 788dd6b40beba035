// delta of the layer before = dLoss/da times its activation's slope; a is what the layer took in

fn input_delta_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let before = p.layer - 1u;
    let at = i * l.input_stride + j / 4u;
    let to = delta_offset(layer(before), p.member) + at;
    let a = activations[input_offset(l, p.member, steps_done) + at];
    let delta = mask_padding(v * backward_derivative(before, a, to), j, l.inputs);
    if STORES_DELTAS {
        deltas[to] = delta;
    }
    return delta;
}
