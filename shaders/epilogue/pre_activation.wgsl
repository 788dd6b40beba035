// z + b, which the next dispatch normalizes before the activation.

/// Stores the pre-activations at row i and columns j to j + 3; v is z without the bias.
fn pre_activation_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    activations[normalized_offset(p.layer, p.member) + i * l.output_stride + j / 4u] = mask_padding(z, j, l.outputs);
}
