// softmax_cross_entropy = mean over the batch of ln(sum e^y) - y[class], for logits y and t = 1 at the class, else 0
// softmax_terms = the row's largest logit m, ln(sum e^(y - m)): in one number that would be rounded away; and the sum of t.
// No logit is above m: the bound at 0 is for compilers, which may not add m to the logarithm past it

fn softmax_cross_entropy(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return t * (max(softmax_terms.x - y, vec4f()) + softmax_terms.y);
}

/// By the logit: softmax(y) sum(t) - t, where the sum is mostly 1.
fn softmax_cross_entropy_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return exp(min(y - softmax_terms.x, vec4f()) - softmax_terms.y) * softmax_terms.z - t;
}
