// gaussian(z) = e^(-z^2), slope -2 z a

fn gaussian(z: vec4f) -> vec4f {
    // exp() may group_params NaN into infinity, of which the next layer makes 0.
    let square = z * z;
    return select(z, exp(-square), square >= vec4f());
}

/// By the sum z: the value does not tell its sign.
fn gaussian_derivative(z: vec4f) -> vec4f {
    return -2.0 * z * exp(-z * z);
}
