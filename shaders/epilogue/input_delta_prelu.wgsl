// The same as input_delta behind a layer whose slopes are learned: dLoss/da times the neuron's slope, and beside it what
// the slope's gradient is summed from, dLoss/da z where z is below 0

fn input_delta_prelu_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let before = p.layer - 1u;
    let at = i * l.input_stride + j / 4u;
    let to = delta_offset(layer(before), p.member) + at;
    let z = deltas[to];
    let slope = parameters[vector_offset(before, PRELU_SLOPE, p.member) + j / 4u];
    activations[normalized_offset(before, p.member) + at] = mask_padding(v * min(z, vec4f()), j, l.inputs);
    deltas[to] = mask_padding(v * prelu_derivative(z, slope), j, l.inputs);
}
