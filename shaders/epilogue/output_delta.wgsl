// y = activate(z + b) and delta = dLoss/dz, for the last layer and a loss that looks at one output at a time

fn output_delta_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let at = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let y = activate(p.layer, z);
    var delta = current_step.loss_scale * loss_derivative(y, activations[target_offset(p.member) + at], vec3f());
    if !LOSS_DERIVATIVE_IS_BY_Z {
        delta *= activate_derivative(p.layer, z, y);
    }
    delta *= sample_weight(target_offset(p.member) + i * l.output_stride);
    // The rows that a short batch lacks teach nothing.
    delta = mask_padding(delta, j, select(0u, l.outputs, i < current_step.rows));
    activations[output_offset(l, p.member) + at] = mask_padding(y, j, l.outputs);
    if STORES_DELTAS {
        deltas[delta_offset(l, p.member) + at] = delta;
    }
    return delta;
}
