// a = activate(z + b)

fn finish(p: Place, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let z = v + parameters[p.right + l.inputs * p.right_stride + j / 4u];
    activations[output_of(l, p.model) + i * l.output_stride + j / 4u] = keep(activate(p.layer, z), j, l.outputs);
}
