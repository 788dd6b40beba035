// mish(z) = z t, t = tanh(ln(1 + e^z)), slope t + z sigmoid(z) (1 - t^2)

/// tanh(ln(1 + e^z)) = n / (n + 2) for n = e^z (e^z + 2); by e^-|z|, which never overflows.
fn tanh_of_softplus(z: vec4f) -> vec4f {
    let e = exp(-abs(z));
    let below = e * (e + 2.0);
    let above = 1.0 + 2.0 * e;
    return select(above / (above + 2.0 * e * e), below / (below + 2.0), z < vec4f());
}

fn mish(z: vec4f) -> vec4f {
    return z * tanh_of_softplus(z);
}

/// By the sum z: the value does not tell it.
fn mish_derivative(z: vec4f) -> vec4f {
    let t = tanh_of_softplus(z);
    return t + z * sigmoid(z) * (1.0 - t * t);
}
