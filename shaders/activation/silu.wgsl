// silu(z) = z sigmoid(z) (Elfwing et al. 2018). Derivative: s (1 + z (1 - s)) for s = sigmoid(z).

/// Returns z sigmoid(z).
fn silu(z: vec4f) -> vec4f {
    return z * sigmoid(z);
}

/// Returns the derivative, from z: the value does not determine it.
fn silu_derivative(z: vec4f) -> vec4f {
    let s = sigmoid(z);
    return s * (1.0 + z * (1.0 - s));
}
