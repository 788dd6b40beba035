// gelu_tanh(z) = z / 2 (1 + tanh(u)) for u = sqrt(2 / pi) (z + 0.044715 z^3) (Hendrycks and Gimpel 2016). Derivative:
// (1 + tanh(u)) / 2 + z / 2 (1 - tanh(u)^2) sqrt(2 / pi) (1 + 0.134145 z^2).

/// Returns gelu_tanh(z).
fn gelu_tanh(z: vec4f) -> vec4f {
    return 0.5 * z * (1.0 + tanh(0.797884561 * (z + 0.044715 * z * z * z)));
}

/// Returns the derivative, from z: the value does not determine it.
fn gelu_tanh_derivative(z: vec4f) -> vec4f {
    let t = tanh(0.797884561 * (z + 0.044715 * z * z * z));
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * 0.797884561 * (1.0 + 0.134145 * z * z);
}
