// NAdam (Dozat 2016): m and s as in Adam, p <- p - (gradient_rate g + learning_rate m) / (sqrt(s') + epsilon).
// State vectors: m, s. MEAN_STEP is 1 - beta1, SQUARE_STEP is 1 - beta2, CORRECTION is 1 / sqrt(1 - beta2^t). With the
// momentum mu(t) and its product P(t) = mu(1) ... mu(t), GRADIENT_RATE is lr (1 - mu(t)) / (1 - P(t)), and the learning
// rate is lr mu(t + 1) / (1 - P(t + 1)).

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn nadam(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let m = state[i] + step.coefficients[NADAM_MEAN_STEP] * (g - state[i]);
    let s = state[STATE_STRIDE + i] + step.coefficients[NADAM_SQUARE_STEP] * (g * g - state[STATE_STRIDE + i]);
    state[i] = m;
    state[STATE_STRIDE + i] = s;
    return p
        - (step.coefficients[NADAM_GRADIENT_RATE] * g + step.learning_rate * m)
            / (sqrt(s) * step.coefficients[NADAM_CORRECTION] + step.coefficients[NADAM_EPSILON]);
}
