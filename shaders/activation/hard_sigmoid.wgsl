// hard_sigmoid(z) = z / 6 + 1 / 2, clamped to [0, 1]. Derivative: 1 / 6 between the bounds, otherwise 0.

/// Returns hard_sigmoid(z).
fn hard_sigmoid(z: vec4f) -> vec4f {
    // clamp() may turn NaN into 0, which would hide a divergence.
    let low = select(z / 6.0 + 0.5, vec4f(), z < vec4f(-3.0));
    return select(low, vec4f(1.0), z > vec4f(3.0));
}

/// Returns the derivative, from a = hard_sigmoid(z).
fn hard_sigmoid_derivative(a: vec4f) -> vec4f {
    return select(vec4f(), select(vec4f(), vec4f(1.0 / 6.0), a < vec4f(1.0)), a > vec4f());
}
