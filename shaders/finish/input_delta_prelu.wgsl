// The same as input_delta behind a layer whose slopes are learned: dLoss/da times the neuron's slope, and beside it what
// the slope's gradient is summed from, dLoss/da z where z is below 0

fn input_delta_prelu_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let before = p.layer - 1u;
    let at = i * l.input_stride + j / 4u;
    let to = delta_of(layer(before), p.model) + at;
    let z = deltas[to];
    let slope = parameters[vector_of(before, SLOPE, p.model) + j / 4u];
    activations[normed_of(before, p.model) + at] = keep(v * min(z, vec4f()), j, l.inputs);
    deltas[to] = keep(v * prelu_gradient(z, slope), j, l.inputs);
}
