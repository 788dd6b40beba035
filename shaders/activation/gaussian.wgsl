// gaussian(z) = e^(-z^2), slope -2 z a

fn gaussian(z: vec4f) -> vec4f {
    // exp() may turn NaN into infinity, of which the next layer makes 0.
    let square = z * z;
    return select(z, exp(-square), square >= vec4f());
}

/// By the sum z: the value does not tell its sign.
fn gaussian_gradient(z: vec4f) -> vec4f {
    return -2.0 * z * exp(-z * z);
}
