// binary_cross_entropy = mean (-t ln y - (1 - t) ln(1 - y)) over the batch and the outputs, for y = sigmoid(z)

fn binary_cross_entropy(y: vec4f, t: vec4f, normalizer: f32) -> vec4f {
    // The smallest normal f32 stands in for 0, whose logarithm WGSL leaves undefined; NaN has to stay NaN.
    let least = vec4f(1.17549435e-38);
    let yes = select(y, least, y < least);
    let no = select(1.0 - y, least, 1.0 - y < least);
    return -t * log(yes) - (1.0 - t) * log(no);
}

/// By the sum z: the sigmoid's slope y (1 - y) cancels, so that a saturated wrong answer is still corrected.
fn binary_cross_entropy_gradient(y: vec4f, t: vec4f, normalizer: f32) -> vec4f {
    return y - t;
}
