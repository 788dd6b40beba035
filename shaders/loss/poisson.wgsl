// The negative log-likelihood of a Poisson distribution, e^y - t y, before the mean over the rows and outputs. The
// output y is the logarithm of the rate, and the target t is a count.

/// Returns the loss of four outputs.
fn poisson(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return exp(y) - t * y;
}

/// Returns the derivative of the loss by the output y: e^y - t.
fn poisson_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return exp(y) - t;
}
