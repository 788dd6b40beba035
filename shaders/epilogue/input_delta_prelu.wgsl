// delta of a previous layer with PReLU = dLoss/da prelu'(z). Also stores dLoss/da min(z, 0), whose sum over the rows is
// the gradient of the slope.

/// Stores the deltas at row i and columns j to j + 3; v is dLoss/da.
fn input_delta_prelu_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let previous = p.layer - 1u;
    let offset = i * l.input_stride + j / 4u;
    let delta_index = delta_offset(layer(previous), p.member) + offset;
    let z = deltas[delta_index];
    let slope = parameters[vector_offset(previous, PRELU_SLOPE, p.member) + j / 4u];
    activations[normalized_offset(previous, p.member) + offset] = mask_padding(v * min(z, vec4f()), j, l.inputs);
    deltas[delta_index] = mask_padding(v * prelu_derivative(z, slope), j, l.inputs);
}
