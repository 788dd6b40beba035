// y = activate(z + b) and delta = dLoss/dz, for the last layer and a loss that looks at one output at a time

fn output_delta_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let at = i * l.output_stride + j / 4u;
    let z = v + parameters[p.right.at + l.inputs * p.right.stride + j / 4u];
    let y = activate(p.layer, z);
    var delta = current.loss_scale * loss_gradient(y, activations[expected_of(p.model) + at], vec3f());
    if !LOSS_GRADIENT_IS_BY_Z {
        delta *= activate_gradient(p.layer, z, y);
    }
    delta *= row_weight(expected_of(p.model) + i * l.output_stride);
    // The rows that a short batch lacks teach nothing.
    delta = keep(delta, j, select(0u, l.outputs, i < current.rows));
    activations[output_of(l, p.model) + at] = keep(y, j, l.outputs);
    if STORES_DELTAS {
        deltas[delta_of(l, p.model) + at] = delta;
    }
    return delta;
}
