// leaky_relu(z) = z above 0 and slope z elsewhere

fn leaky_relu(z: vec4f, slope: f32) -> vec4f {
    return select(z, slope * z, z < vec4f());
}

fn leaky_relu_derivative(a: vec4f, slope: f32) -> vec4f {
    return select(vec4f(slope), vec4f(1.0), a > vec4f());
}
