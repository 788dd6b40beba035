// leaky_relu(z) = z for z >= 0, otherwise slope z (Maas et al. 2013). Derivative: 1 for z > 0, otherwise slope.

/// Returns leaky_relu(z).
fn leaky_relu(z: vec4f, slope: f32) -> vec4f {
    return select(z, slope * z, z < vec4f());
}

/// Returns the derivative, from a = leaky_relu(z), which has the sign of z.
fn leaky_relu_derivative(a: vec4f, slope: f32) -> vec4f {
    return select(vec4f(slope), vec4f(1.0), a > vec4f());
}
