// softplus(z) = ln(1 + e^z), slope sigmoid(z) = 1 - e^-a

fn softplus(z: vec4f) -> vec4f {
    // Not max(z, 0): it may turn NaN into 0.
    return select(z, vec4f(), z < vec4f()) + log_one_plus(exp(-abs(z)));
}

fn softplus_gradient(a: vec4f) -> vec4f {
    return -exp_minus_one(-a);
}
