// The softmax cross-entropy (Szegedy et al. 2016) with the smoothed targets t (1 - s) + s / classes for
// s = label_smoothing.

/// Returns the loss of four outputs.
fn label_smoothed_cross_entropy(y: vec4f, t: vec4f, softmax_terms: vec3f, label_smoothing: f32) -> vec4f {
    return softmax_cross_entropy(y, t * (1.0 - label_smoothing) + label_smoothing / f32(OUTPUTS), softmax_terms);
}

/// Returns the derivative of the loss by the logit.
fn label_smoothed_cross_entropy_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f, label_smoothing: f32) -> vec4f {
    let smoothed_terms = vec3f(softmax_terms.xy, softmax_terms.z * (1.0 - label_smoothing) + label_smoothing);
    return softmax_cross_entropy_derivative(
        y, t * (1.0 - label_smoothing) + label_smoothing / f32(OUTPUTS), smoothed_terms);
}
