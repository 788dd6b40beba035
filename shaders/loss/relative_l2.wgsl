// relative_l2 = mean (y - t)^2 / (y^2 + 0.01) over the batch and the outputs; for the gradient the denominator is constant

fn relative_l2(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return (y - t) * (y - t) / (y * y + 0.01);
}

/// By the output y.
fn relative_l2_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return 2.0 * (y - t) / (y * y + 0.01);
}
