// a = z above 0 and slope z elsewhere, with a learned slope for each neuron; z lies where the layer's delta will, until the
// delta takes its place

fn forward_prelu_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let at = i * l.output_stride + j / 4u;
    let z = v + parameters[p.right.at + l.inputs * p.right.stride + j / 4u];
    let slope = parameters[vector_of(p.layer, SLOPE, p.model) + j / 4u];
    activations[output_of(l, p.model) + at] = keep(prelu(z, slope), j, l.outputs);
    if TRAINS {
        deltas[delta_of(l, p.model) + at] = keep(z, j, l.outputs);
    }
}
