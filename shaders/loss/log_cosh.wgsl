// The logarithm of the hyperbolic cosine of the error, ln(cosh(y - t)), before the mean over the rows and outputs. With
// e = |y - t| it is e + ln(1 + e^(-2 e)) - ln 2, which never overflows.

/// Returns the loss of four outputs.
fn log_cosh(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    let e = abs(y - t);
    return e + ln_1p(exp(-2.0 * e)) - 0.693147181;
}

/// Returns the derivative of the loss by the output y: tanh(y - t).
fn log_cosh_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return tanh(y - t);
}
