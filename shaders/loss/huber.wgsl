// huber = mean of e^2 / 2 for an error e up to delta and delta (|e| - delta / 2) beyond, over the batch and the outputs

fn huber(y: vec4f, t: vec4f, softmax_terms: vec3f, delta: f32) -> vec4f {
    let e = abs(y - t);
    return select(delta * (e - 0.5 * delta), 0.5 * e * e, e <= vec4f(delta));
}

/// By the output y.
fn huber_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f, delta: f32) -> vec4f {
    return clamp(y - t, vec4f(-delta), vec4f(delta));
}
