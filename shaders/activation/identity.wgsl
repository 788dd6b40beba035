// identity(z) = z, slope 1

fn identity(z: vec4f) -> vec4f {
    return z;
}

fn identity_derivative(a: vec4f) -> vec4f {
    return vec4f(1.0);
}
