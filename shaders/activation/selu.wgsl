// selu(z) = lambda z above 0 and lambda alpha (e^z - 1) elsewhere, slope lambda and lambda alpha e^z = a + lambda alpha

fn selu(z: vec4f) -> vec4f {
    return select(1.05070099 * z, 1.75809934 * exp_m1(z), z < vec4f());
}

fn selu_derivative(a: vec4f) -> vec4f {
    return select(a + 1.75809934, vec4f(1.05070099), a > vec4f());
}
