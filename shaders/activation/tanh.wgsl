// tanh(z) = (1 - e^-2z) / (1 + e^-2z). Derivative: 1 - a^2 for a = tanh(z).

/// Returns tanh(z). The tanh of WGSL may be wrong by 1e-5, and on some drivers it returns NaN for large z.
fn tanh(z: vec4f) -> vec4f {
    // Near 0 the difference 1 - e would lose digits, so the function uses the Taylor series up to z^9.
    let s = z * z;
    let small = z * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    let e = exp(-2.0 * abs(z));
    let large = (1.0 - e) / (1.0 + e);
    return select(select(large, -large, z < vec4f()), small, abs(z) < vec4f(0.25));
}

/// Returns the derivative, from a = tanh(z).
fn tanh_derivative(a: vec4f) -> vec4f {
    return 1.0 - a * a;
}
