// a = z above 0 and slope z elsewhere, with a learned slope for each neuron; z lies where the layer's delta will, until the
// delta takes its place

fn forward_prelu_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) {
    let l = layer(p.layer);
    let at = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let slope = parameters[vector_offset(p.layer, PRELU_SLOPE, p.member) + j / 4u];
    activations[output_offset(l, p.member) + at] = mask_padding(prelu(z, slope), j, l.outputs);
    if IS_TRAINING {
        deltas[delta_offset(l, p.member) + at] = mask_padding(z, j, l.outputs);
    }
}
