// poisson = mean e^y - t y over the batch and the outputs: the output is the logarithm of the rate, t a count

fn poisson(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return exp(y) - t * y;
}

/// By the output y.
fn poisson_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return exp(y) - t;
}
