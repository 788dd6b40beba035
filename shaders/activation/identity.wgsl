// identity(z) = z. Derivative: 1.

/// Returns z.
fn identity(z: vec4f) -> vec4f {
    return z;
}

/// Returns the derivative, 1.
fn identity_derivative(a: vec4f) -> vec4f {
    return vec4f(1.0);
}
