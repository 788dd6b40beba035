// elu(z) = z for z >= 0, otherwise alpha (e^z - 1) (Clevert et al. 2016). Derivative: 1 for z >= 0, otherwise
// alpha e^z.

/// Returns elu(z).
fn elu(z: vec4f, alpha: f32) -> vec4f {
    return select(z, alpha * exp_m1(z), z < vec4f());
}

/// Returns the derivative, from a = elu(z): alpha e^z = a + alpha for z < 0.
fn elu_derivative(a: vec4f, alpha: f32) -> vec4f {
    return select(a + alpha, vec4f(1.0), a > vec4f());
}
