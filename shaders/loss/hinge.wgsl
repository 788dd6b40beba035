// The hinge loss max(0, 1 - s y) with s = 2 t - 1 for a target 0 or 1, before the mean over the rows and outputs.

/// Returns the loss of four outputs.
fn hinge(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    let margin_error = 1.0 - (2.0 * t - 1.0) * y;
    return select(margin_error, vec4f(), margin_error < vec4f());
}

/// Returns the derivative of the loss by the output y: -s for s y < 1, otherwise 0.
fn hinge_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    let s = 2.0 * t - 1.0;
    return select(vec4f(), -s, s * y < vec4f(1.0));
}
