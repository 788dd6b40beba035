// a = prelu(z + b) with one trained slope per neuron. Training stores z + b in `deltas`, until the delta of the layer
// replaces it.

/// Stores the activations at row i and columns j to j + 3; v is z without the bias.
fn forward_prelu_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let offset = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let slope = parameters[vector_offset(p.layer, PRELU_SLOPE, p.member) + j / 4u];
    activations[output_offset(l, p.member) + offset] = mask_padding(prelu(z, slope), j, l.outputs);
    if IS_TRAINING {
        deltas[delta_offset(l, p.member) + offset] = mask_padding(z, j, l.outputs);
    }
}
