// mse = mean (y - t)^2 over the batch and the outputs; the mean is taken by who calls

fn mse(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return (y - t) * (y - t);
}

/// By the output y.
fn mse_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return 2.0 * (y - t);
}
