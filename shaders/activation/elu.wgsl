// elu(z) = z above 0 and alpha (e^z - 1) elsewhere, slope 1 and alpha e^z = a + alpha

fn elu(z: vec4f, alpha: f32) -> vec4f {
    return select(z, alpha * exp_m1(z), z < vec4f());
}

fn elu_derivative(a: vec4f, alpha: f32) -> vec4f {
    return select(a + alpha, vec4f(1.0), a > vec4f());
}
