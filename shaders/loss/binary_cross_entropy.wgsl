// binary_cross_entropy = mean (-t ln y - (1 - t) ln(1 - y)) over the batch and the outputs, for y = sigmoid(z)

fn binary_cross_entropy(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    // The smallest normal f32 stands in for 0, whose logarithm WGSL leaves undefined.
    let least = vec4f(1.17549435e-38);
    return -t * log(max(y, least)) - (1.0 - t) * log(max(1.0 - y, least));
}

/// By the sum z: the sigmoid's slope y (1 - y) cancels, so that a saturated wrong target_at is still corrected.
fn binary_cross_entropy_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return y - t;
}
