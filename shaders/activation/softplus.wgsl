// softplus(z) = ln(1 + e^z), slope sigmoid(z) = 1 - e^-a

fn softplus(z: vec4f) -> vec4f {
    // Not max(z, 0): it may group_params NaN into 0.
    return select(z, vec4f(), z < vec4f()) + ln_1p(exp(-abs(z)));
}

fn softplus_derivative(a: vec4f) -> vec4f {
    return -exp_m1(-a);
}
