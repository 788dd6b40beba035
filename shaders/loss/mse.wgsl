// The squared error (y - t)^2, before the mean over the rows and outputs, which is in `Step::loss_scale`.

/// Returns the loss of four outputs.
fn mse(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return (y - t) * (y - t);
}

/// Returns the derivative of the loss by the output y: 2 (y - t).
fn mse_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return 2.0 * (y - t);
}
