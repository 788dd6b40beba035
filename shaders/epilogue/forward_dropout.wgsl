// a = f activate(z + b) and its derivative, where f are the factors of the dropout. The derivative is stored in
// `deltas`, until the delta of the layer replaces it.

/// Stores and returns the activations at row i and columns j to j + 3; v is z without the bias.
fn forward_dropout_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let offset = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let a = activate(p.layer, z);
    let dropout_factor = dropout_factors(p.layer, i, j);
    let masked = mask_padding(dropout_factor * a, j, l.outputs);
    activations[output_offset(l, p.member) + offset] = masked;
    deltas[delta_offset(l, p.member) + offset] =
        mask_padding(dropout_factor * activate_derivative(p.layer, z, a), j, l.outputs);
    return masked;
}
