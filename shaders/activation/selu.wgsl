// selu(z) = lambda z for z >= 0, otherwise lambda alpha (e^z - 1) (Klambauer et al. 2017), with lambda = 1.0507 and
// lambda alpha = 1.7581. Derivative: lambda for z >= 0, otherwise lambda alpha e^z.

/// Returns selu(z).
fn selu(z: vec4f) -> vec4f {
    return select(1.05070099 * z, 1.75809934 * exp_m1(z), z < vec4f());
}

/// Returns the derivative, from a = selu(z): lambda alpha e^z = a + lambda alpha for z < 0.
fn selu_derivative(a: vec4f) -> vec4f {
    return select(a + 1.75809934, vec4f(1.05070099), a > vec4f());
}
