// sigmoid(z) = 1 / (1 + e^-z). Derivative: a (1 - a) for a = sigmoid(z).

/// Returns sigmoid(z).
fn sigmoid(z: vec4f) -> vec4f {
    // e = e^-|z| never overflows, and small results are exact: 1 / (1 + e) for z >= 0, otherwise e / (1 + e).
    let e = exp(-abs(z));
    return select(e, vec4f(1.0), z >= vec4f()) / (1.0 + e);
}

/// Returns the derivative, from a = sigmoid(z).
fn sigmoid_derivative(a: vec4f) -> vec4f {
    return a * (1.0 - a);
}
