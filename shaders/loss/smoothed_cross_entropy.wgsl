// smoothed_cross_entropy = softmax_cross_entropy with the expectation t (1 - smoothing) + smoothing / classes

fn smoothed_cross_entropy(y: vec4f, t: vec4f, normalizer: vec3f, smoothing: f32) -> vec4f {
    return softmax_cross_entropy(y, t * (1.0 - smoothing) + smoothing / f32(OUTPUTS), normalizer);
}

/// By the logit.
fn smoothed_cross_entropy_gradient(y: vec4f, t: vec4f, normalizer: vec3f, smoothing: f32) -> vec4f {
    let of_smoothed = vec3f(normalizer.xy, normalizer.z * (1.0 - smoothing) + smoothing);
    return softmax_cross_entropy_gradient(y, t * (1.0 - smoothing) + smoothing / f32(OUTPUTS), of_smoothed);
}
