// label_smoothed_cross_entropy = softmax_cross_entropy with the expectation t (1 - label_smoothing) + label_smoothing / classes

fn label_smoothed_cross_entropy(y: vec4f, t: vec4f, softmax_terms: vec3f, label_smoothing: f32) -> vec4f {
    return softmax_cross_entropy(y, t * (1.0 - label_smoothing) + label_smoothing / f32(OUTPUTS), softmax_terms);
}

/// By the logit.
fn label_smoothed_cross_entropy_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f, label_smoothing: f32) -> vec4f {
    let smoothed_terms = vec3f(softmax_terms.xy, softmax_terms.z * (1.0 - label_smoothing) + label_smoothing);
    return softmax_cross_entropy_derivative(y, t * (1.0 - label_smoothing) + label_smoothing / f32(OUTPUTS), smoothed_terms);
}
