// sine(z) = sin(frequency z), slope frequency cos(frequency z)

fn sine(z: vec4f, frequency: f32) -> vec4f {
    return sin_cos(frequency * z, 0.0);
}

/// By the sum z: the value does not tell its sign.
fn sine_derivative(z: vec4f, frequency: f32) -> vec4f {
    return frequency * sin_cos(frequency * z, 1.0);
}
