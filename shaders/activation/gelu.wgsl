// gelu(z) = z P(z), where P is the normal distribution's share below z; slope P(z) + z e^(-z^2 / 2) / sqrt(2 pi)

fn gelu(z: vec4f) -> vec4f {
    return z * normal_cdf(z);
}

/// By the sum z: the value does not tell it.
fn gelu_derivative(z: vec4f) -> vec4f {
    return normal_cdf(z) + z * exp(-0.5 * z * z) * 0.398942280;
}
