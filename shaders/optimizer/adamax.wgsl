// Adamax (Kingma and Ba 2015): m <- beta1 m + (1 - beta1) g, u <- max(beta2 u, |g| + epsilon),
// p <- p - learning_rate m' / u.
// State vectors: m, u. MEAN_STEP is 1 - beta1. The learning rate contains the correction of m, 1 / (1 - beta1^t).

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn adamax(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let m = state[i] + step.coefficients[ADAMAX_MEAN_STEP] * (g - state[i]);
    let u = max(
        step.coefficients[ADAMAX_BETA2] * state[STATE_STRIDE + i], abs(g) + step.coefficients[ADAMAX_EPSILON]);
    state[i] = m;
    state[STATE_STRIDE + i] = u;
    return p - step.learning_rate * m / u;
}
