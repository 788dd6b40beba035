// delta of the previous layer = dLoss/da f'(z), where a are the inputs of this layer, and f is the activation of the
// previous layer.

/// Stores and returns the deltas at row i and columns j to j + 3; v is dLoss/da.
fn input_delta_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let previous = p.layer - 1u;
    let offset = i * l.input_stride + j / 4u;
    let delta_index = delta_offset(layer(previous), p.member) + offset;
    let a = activations[input_offset(l, p.member, steps_done) + offset];
    let delta = mask_padding(v * backward_derivative(previous, a, delta_index), j, l.inputs);
    if STORES_DELTAS {
        deltas[delta_index] = delta;
    }
    return delta;
}
