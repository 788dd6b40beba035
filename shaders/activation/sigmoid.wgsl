// sigmoid(z) = 1 / (1 + e^-z), slope a (1 - a)

fn sigmoid(z: vec4f) -> vec4f {
    // By e^-|z|, which never overflows and keeps small values exact: 1 / (1 + e) for z >= 0, e / (1 + e) below.
    let e = exp(-abs(z));
    return select(e, vec4f(1.0), z >= vec4f()) / (1.0 + e);
}

fn sigmoid_derivative(a: vec4f) -> vec4f {
    return a * (1.0 - a);
}
