// gaussian(z) = e^(-z^2), slope -2 z a

fn gaussian(z: vec4f) -> vec4f {
    return exp(-z * z);
}

/// By the sum z: the value does not tell its sign.
fn gaussian_gradient(z: vec4f) -> vec4f {
    return -2.0 * z * exp(-z * z);
}
