// The binary cross-entropy of logits y, ln(1 + e^y) - t y, before the mean over the rows and outputs.

/// Returns the loss of four outputs.
fn binary_cross_entropy_with_logits(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return select(y, vec4f(), y < vec4f()) - t * y + ln_1p(exp(-abs(y)));
}

/// Returns the derivative of the loss by the logit: sigmoid(y) - t.
fn binary_cross_entropy_with_logits_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return sigmoid(y) - t;
}
