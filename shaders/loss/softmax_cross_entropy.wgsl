// softmax_cross_entropy = mean over the batch of ln(sum e^y) - y[class], for logits y and t = 1 at the class, else 0
// normalizer = ln(sum e^y) of the row

fn softmax_cross_entropy(y: vec4f, t: vec4f, normalizer: f32) -> vec4f {
    return t * (normalizer - y);
}

/// By the logit: softmax(y) - t.
fn softmax_cross_entropy_gradient(y: vec4f, t: vec4f, normalizer: f32) -> vec4f {
    return exp(y - normalizer) - t;
}
