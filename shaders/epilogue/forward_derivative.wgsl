// a = activate(z + b) and da/dz, for activations whose derivative needs z. The derivative is stored in `deltas`, until
// the delta of the layer replaces it.

/// Stores and returns the activations at row i and columns j to j + 3; v is z without the bias.
fn forward_derivative_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let offset = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let a = activate(p.layer, z);
    let masked = mask_padding(a, j, l.outputs);
    activations[output_offset(l, p.member) + offset] = masked;
    deltas[delta_offset(l, p.member) + offset] = mask_padding(activate_derivative(p.layer, z, a), j, l.outputs);
    return masked;
}
