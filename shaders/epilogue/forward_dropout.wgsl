// a = activate(z + b) and its slope as in forward_slope, some of them dropped and the others larger

fn forward_dropout_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let at = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let a = activate(p.layer, z);
    let share = dropout_factors(p.layer, i, j);
    let kept = mask_padding(share * a, j, l.outputs);
    activations[output_offset(l, p.member) + at] = kept;
    deltas[delta_offset(l, p.member) + at] = mask_padding(share * activate_derivative(p.layer, z, a), j, l.outputs);
    return kept;
}
