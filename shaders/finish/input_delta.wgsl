// delta of the layer before = dLoss/da times its activation's slope; a is what the layer took in

fn input_delta_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let before = p.layer - 1u;
    let at = i * l.input_stride + j / 4u;
    let to = delta_of(layer(before), p.model) + at;
    let a = activations[input_of(l, p.model, walked) + at];
    let delta = keep(v * slope_of(before, a, to), j, l.inputs);
    if STORES_DELTAS {
        deltas[to] = delta;
    }
    return delta;
}
