// gelu(z) = z P(z), where P is the distribution function of the standard normal distribution (Hendrycks and Gimpel
// 2016). Derivative: P(z) + z e^(-z^2 / 2) / sqrt(2 pi).

/// Returns z P(z).
fn gelu(z: vec4f) -> vec4f {
    return z * normal_cdf(z);
}

/// Returns the derivative, from z: the value does not determine it.
fn gelu_derivative(z: vec4f) -> vec4f {
    return normal_cdf(z) + z * exp(-0.5 * z * z) * 0.398942280;
}
