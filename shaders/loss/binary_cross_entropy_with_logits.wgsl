// binary_cross_entropy_with_logits = mean ln(1 + e^y) - t y over the batch and the outputs, for logits y

fn binary_cross_entropy_with_logits(y: vec4f, t: vec4f, normalizer: vec3f) -> vec4f {
    return select(y, vec4f(), y < vec4f()) - t * y + log_one_plus(exp(-abs(y)));
}

/// By the logit.
fn binary_cross_entropy_with_logits_gradient(y: vec4f, t: vec4f, normalizer: vec3f) -> vec4f {
    return sigmoid(y) - t;
}
