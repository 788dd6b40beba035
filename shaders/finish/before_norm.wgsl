// z + b, as it is: the norm comes between the sum and the activation

fn before_norm_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let z = v + parameters[p.right.at + l.inputs * p.right.stride + j / 4u];
    activations[normed_of(p.layer, p.model) + i * l.output_stride + j / 4u] = keep(z, j, l.outputs);
}
