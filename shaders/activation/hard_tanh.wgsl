// hard_tanh(z) = z, clamped to [-1, 1] (Collobert 2004). Derivative: 1 between the bounds, otherwise 0.

/// Returns hard_tanh(z).
fn hard_tanh(z: vec4f) -> vec4f {
    // clamp() may turn NaN into a number, which would hide a divergence.
    let low = select(z, vec4f(-1.0), z < vec4f(-1.0));
    return select(low, vec4f(1.0), z > vec4f(1.0));
}

/// Returns the derivative, from a = hard_tanh(z).
fn hard_tanh_derivative(a: vec4f) -> vec4f {
    return select(vec4f(), vec4f(1.0), abs(a) < vec4f(1.0));
}
