// gaussian(z) = e^(-z^2). Derivative: -2 z e^(-z^2).

/// Returns e^(-z^2).
fn gaussian(z: vec4f) -> vec4f {
    // exp() may turn NaN into infinity, which the next layer may turn into 0, so NaN is passed through.
    let square = z * z;
    return select(z, exp(-square), square >= vec4f());
}

/// Returns the derivative, from z: the value does not determine the sign of z.
fn gaussian_derivative(z: vec4f) -> vec4f {
    return -2.0 * z * exp(-z * z);
}
