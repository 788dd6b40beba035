// The absolute error |y - t|, before the mean over the rows and outputs.

/// Returns the loss of four outputs.
fn l1(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return abs(y - t);
}

/// Returns the derivative of the loss by the output y: sign(y - t), which is 0 for y = t.
fn l1_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return sign(y - t);
}
