// silu(z) = z sigmoid(z), slope sigmoid(z) (1 + z (1 - sigmoid(z)))

fn silu(z: vec4f) -> vec4f {
    return z * sigmoid(z);
}

/// By the sum z: the value does not tell it.
fn silu_derivative(z: vec4f) -> vec4f {
    let s = sigmoid(z);
    return s * (1.0 + z * (1.0 - s));
}
