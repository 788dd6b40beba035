// mish(z) = z t for t = tanh(ln(1 + e^z)) (Misra 2020). Derivative: t + z sigmoid(z) (1 - t^2).

/// Returns tanh(ln(1 + e^z)) = n / (n + 2) for n = e^z (e^z + 2), computed from e^-|z|, which never overflows.
fn tanh_of_softplus(z: vec4f) -> vec4f {
    let e = exp(-abs(z));
    let below = e * (e + 2.0);
    let above = 1.0 + 2.0 * e;
    return select(above / (above + 2.0 * e * e), below / (below + 2.0), z < vec4f());
}

/// Returns z tanh(ln(1 + e^z)).
fn mish(z: vec4f) -> vec4f {
    return z * tanh_of_softplus(z);
}

/// Returns the derivative, from z: the value does not determine it.
fn mish_derivative(z: vec4f) -> vec4f {
    let t = tanh_of_softplus(z);
    return t + z * sigmoid(z) * (1.0 - t * t);
}
