// The Huber loss (Huber 1964): e^2 / 2 for an error e = y - t with |e| <= delta, otherwise delta (|e| - delta / 2),
// before the mean over the rows and outputs.

/// Returns the loss of four outputs.
fn huber(y: vec4f, t: vec4f, softmax_terms: vec3f, delta: f32) -> vec4f {
    let e = abs(y - t);
    return select(delta * (e - 0.5 * delta), 0.5 * e * e, e <= vec4f(delta));
}

/// Returns the derivative of the loss by the output y: e, clamped to [-delta, delta].
fn huber_derivative(y: vec4f, t: vec4f, softmax_terms: vec3f, delta: f32) -> vec4f {
    return clamp(y - t, vec4f(-delta), vec4f(delta));
}
