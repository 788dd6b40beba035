// prelu(z) = z above 0 and slope z elsewhere, with a learned slope for each neuron

fn prelu(z: vec4f, slope: vec4f) -> vec4f {
    return select(z, slope * z, z < vec4f());
}

fn prelu_derivative(z: vec4f, slope: vec4f) -> vec4f {
    return select(slope, vec4f(1.0), z > vec4f());
}
