// binary_cross_entropy_with_logits = mean ln(1 + e^y) - t y over the batch and the outputs, for logits y

fn binary_cross_entropy_with_logits(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return select(y, vec4f(), y < vec4f()) - t * y + ln_1p(exp(-abs(y)));
}

/// By the logit.
fn binary_cross_entropy_with_logits_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return sigmoid(y) - t;
}
