// a = activate(z + b)

fn forward_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let z = v + parameters[p.right.at + l.inputs * p.right.stride + j / 4u];
    let a = keep(activate(p.layer, z), j, l.outputs);
    activations[output_of(l, p.model) + i * l.output_stride + j / 4u] = a;
    return a;
}
