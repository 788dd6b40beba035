// Lion (Chen et al. 2023): p <- p - learning_rate sign(beta1 m + (1 - beta1) g), m <- beta2 m + (1 - beta2) g.
// State vector: m. DIRECTION_STEP is 1 - beta1, MEAN_STEP is 1 - beta2.

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn lion(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let m = state[i];
    state[i] = m + step.coefficients[LION_MEAN_STEP] * (g - m);
    return p - step.learning_rate * sign(m + step.coefficients[LION_DIRECTION_STEP] * (g - m));
}
