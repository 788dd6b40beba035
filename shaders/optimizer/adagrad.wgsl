// Adagrad (Duchi et al. 2011): s <- s + g^2, p <- p - learning_rate g / (sqrt(s) + epsilon).
// State vector: s minus its initial value INITIAL, so that it starts at 0. The learning rate contains the decay
// 1 / (1 + (t - 1) learning_rate_decay).

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn adagrad(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let s = state[i] + g * g;
    state[i] = s;
    return p
        - step.learning_rate * g / (sqrt(step.coefficients[ADAGRAD_INITIAL] + s) + step.coefficients[ADAGRAD_EPSILON]);
}
