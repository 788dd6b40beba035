// softmax_cross_entropy = mean over the batch of ln(sum e^y) - y[class], for logits y and t = 1 at the class, else 0
// normalizer = the row's largest logit m, and ln(sum e^(y - m)): in one number the second would be rounded away

fn softmax_cross_entropy(y: vec4f, t: vec4f, normalizer: vec2f) -> vec4f {
    return t * ((normalizer.x - y) + normalizer.y);
}

/// By the logit: softmax(y) - t.
fn softmax_cross_entropy_gradient(y: vec4f, t: vec4f, normalizer: vec2f) -> vec4f {
    return exp((y - normalizer.x) - normalizer.y) - t;
}
