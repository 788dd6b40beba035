// hinge = mean max(0, 1 - s y) over the batch and the outputs, s = 2 t - 1 for an expected 0 or 1

fn hinge(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    let short = 1.0 - (2.0 * t - 1.0) * y;
    return select(short, vec4f(), short < vec4f());
}

/// By the output y.
fn hinge_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f {
    let s = 2.0 * t - 1.0;
    return select(vec4f(), -s, s * y < vec4f(1.0));
}
