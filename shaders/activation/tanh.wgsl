// tanh(z), slope 1 - a^2

/// In place of WGSL's own tanh, which may be wrong by 1e-5 and gives NaN for large z on some drivers.
fn tanh(z: vec4f) -> vec4f {
    // Near 0 the difference of two numbers near 1 would lose its digits: there its Taylor series, up to z^9.
    let s = z * z;
    let small = z * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    let e = exp(-2.0 * abs(z));
    let large = (1.0 - e) / (1.0 + e);
    return select(select(large, -large, z < vec4f()), small, abs(z) < vec4f(0.25));
}

fn tanh_derivative(a: vec4f) -> vec4f {
    return 1.0 - a * a;
}
