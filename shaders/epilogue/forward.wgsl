// a = activate(z + b)

/// Stores and returns the activations at row i and columns j to j + 3; v is z without the bias.
fn forward_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let a = mask_padding(activate(p.layer, z), j, l.outputs);
    activations[output_offset(l, p.member) + i * l.output_stride + j / 4u] = a;
    return a;
}
