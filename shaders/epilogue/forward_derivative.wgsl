// a = activate(z + b), and its slope, where the value does not tell it: it lies where the layer's delta will, until the
// delta takes its place

fn forward_derivative_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let at = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let a = activate(p.layer, z);
    let kept = mask_padding(a, j, l.outputs);
    activations[output_offset(l, p.member) + at] = kept;
    deltas[delta_offset(l, p.member) + at] = mask_padding(activate_derivative(p.layer, z, a), j, l.outputs);
    return kept;
}
