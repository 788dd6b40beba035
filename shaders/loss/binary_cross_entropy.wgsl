// The binary cross-entropy of sigmoid outputs y, -t ln y - (1 - t) ln(1 - y), before the mean over the rows and
// outputs.

/// Returns the loss of four outputs.
fn binary_cross_entropy(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    // WGSL does not define ln 0, so the smallest normal f32 replaces 0.
    let smallest = vec4f(1.17549435e-38);
    return -t * log(max(y, smallest)) - (1.0 - t) * log(max(1.0 - y, smallest));
}

/// Returns the derivative of the loss by the pre-activation z of the sigmoid. Its derivative y (1 - y) cancels, so that
/// a saturated incorrect output is still corrected.
fn binary_cross_entropy_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return y - t;
}
