// y = activate(z + b) and delta = dLoss/dz of the last layer, for a loss that is a sum over single outputs.

/// Stores the outputs and the deltas at row i and columns j to j + 3, and returns the deltas; v is z without the bias.
fn output_delta_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) -> vec4f {
    let l = layer(p.layer);
    let offset = i * l.output_stride + j / 4u;
    let z = v + parameters[p.b.offset + l.inputs * p.b.stride + j / 4u];
    let y = activate(p.layer, z);
    var delta = current_step.loss_scale * loss_derivative(y, activations[target_offset(p.member) + offset], vec3f());
    if !LOSS_DERIVATIVE_IS_BY_Z {
        delta *= activate_derivative(p.layer, z, y);
    }
    delta *= sample_weight(target_offset(p.member) + i * l.output_stride);
    // The deltas of padding rows are 0, so that they add nothing to the gradients.
    delta = mask_padding(delta, j, select(0u, l.outputs, i < current_step.rows));
    activations[output_offset(l, p.member) + offset] = mask_padding(y, j, l.outputs);
    if STORES_DELTAS {
        deltas[delta_offset(l, p.member) + offset] = delta;
    }
    return delta;
}
