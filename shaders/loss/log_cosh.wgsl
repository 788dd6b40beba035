// log_cosh = mean ln(cosh(y - t)) over the batch and the outputs; by e^(-2 |y - t|), which never overflows

fn log_cosh(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    let e = abs(y - t);
    return e + ln_1p(exp(-2.0 * e)) - 0.693147181;
}

/// By the output y.
fn log_cosh_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return tanh(y - t);
}
