// prelu(z) = z for z >= 0, otherwise slope z, with one trained slope per neuron (He et al. 2015). Derivative by z: 1
// for z > 0, otherwise slope.

/// Returns prelu(z).
fn prelu(z: vec4f, slope: vec4f) -> vec4f {
    return select(z, slope * z, z < vec4f());
}

/// Returns the derivative by z.
fn prelu_derivative(z: vec4f, slope: vec4f) -> vec4f {
    return select(slope, vec4f(1.0), z > vec4f());
}
