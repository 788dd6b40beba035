// softplus(z) = ln(1 + e^z) (Dugas et al. 2001). Derivative: sigmoid(z) = 1 - e^-a for a = softplus(z).

/// Returns ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|).
fn softplus(z: vec4f) -> vec4f {
    // max() may turn NaN into 0, which would hide a divergence.
    return select(z, vec4f(), z < vec4f()) + ln_1p(exp(-abs(z)));
}

/// Returns the derivative, from a = softplus(z).
fn softplus_derivative(a: vec4f) -> vec4f {
    return -exp_m1(-a);
}
