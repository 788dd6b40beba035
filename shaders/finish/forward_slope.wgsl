// a = activate(z + b), and its slope, where the value does not tell it: it lies where the layer's delta will, until the
// delta takes its place

fn forward_slope_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let at = i * l.output_stride + j / 4u;
    let z = v + parameters[p.right.at + l.inputs * p.right.stride + j / 4u];
    let a = activate(p.layer, z);
    let kept = keep(a, j, l.outputs);
    activations[output_of(l, p.model) + at] = kept;
    deltas[delta_of(l, p.model) + at] = keep(activate_gradient(p.layer, z, a), j, l.outputs);
    return kept;
}
