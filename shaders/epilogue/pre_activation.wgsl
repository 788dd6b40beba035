// z + b, as it is: the norm comes between the sum and the activation

fn pre_activation_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    activations[normalized_offset(p.layer, p.member) + i * l.output_stride + j / 4u] = mask_padding(z, j, l.outputs);
}
