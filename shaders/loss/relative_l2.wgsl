// The relative squared error (y - t)^2 / (y^2 + 0.01) (Lehtinen et al. 2018), before the mean over the rows and
// outputs.

/// Returns the loss of four outputs.
fn relative_l2(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return (y - t) * (y - t) / (y * y + 0.01);
}

/// Returns the derivative of the loss by the output y, with a constant denominator.
fn relative_l2_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return 2.0 * (y - t) / (y * y + 0.01);
}
