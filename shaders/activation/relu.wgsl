// relu(z) = max(z, 0) (Nair and Hinton 2010). Derivative: 1 for z > 0, otherwise 0.

/// Returns max(z, 0).
fn relu(z: vec4f) -> vec4f {
    // max() may turn NaN into 0, which would hide a divergence.
    return select(z, vec4f(), z < vec4f());
}

/// Returns the derivative, from a = relu(z).
fn relu_derivative(a: vec4f) -> vec4f {
    return select(vec4f(), vec4f(1.0), a > vec4f());
}
