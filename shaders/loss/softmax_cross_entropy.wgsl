// The softmax cross-entropy of logits y, the sum over the classes of t (ln(sum e^y) - y), before the mean over the
// rows. For a target t that is 1 at one class and 0 elsewhere, it is ln(sum e^y) - y[class].
//
// `softmax_terms` are the maximum logit m of the row, ln(sum e^(y - m)), and the sum of t. The first two are separate,
// because their sum would round the second one away.

/// Returns the loss of four outputs: t (m - y + ln(sum e^(y - m))).
fn softmax_cross_entropy(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    // No logit is above m. The bound at 0 keeps compilers from adding m to the logarithm first.
    return t * (max(softmax_terms.x - y, vec4f()) + softmax_terms.y);
}

/// Returns the derivative of the loss by the logit: softmax(y) sum(t) - t. The sum of t is usually 1.
fn softmax_cross_entropy_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    return exp(min(y - softmax_terms.x, vec4f()) - softmax_terms.y) * softmax_terms.z - t;
}
