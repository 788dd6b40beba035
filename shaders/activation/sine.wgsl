// sine(z) = sin(frequency z) (Sitzmann et al. 2020). Derivative: frequency cos(frequency z).

/// Returns sin(frequency z).
fn sine(z: vec4f, frequency: f32) -> vec4f {
    return sin_cos(frequency * z, 0.0);
}

/// Returns the derivative, from z: the value does not determine its sign.
fn sine_derivative(z: vec4f, frequency: f32) -> vec4f {
    return frequency * sin_cos(frequency * z, 1.0);
}
