// Adam (Kingma and Ba 2015): m <- beta1 m + (1 - beta1) g, s <- beta2 s + (1 - beta2) g^2,
// p <- p - learning_rate m' / (sqrt(s') + epsilon).
// State vectors: m, s and, with AMSGrad (Reddi et al. 2018), the maximum of s. MEAN_STEP is 1 - beta1, SQUARE_STEP is
// 1 - beta2. The learning rate contains the correction of m, 1 / (1 - beta1^t); CORRECTION is 1 / sqrt(1 - beta2^t).

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn adam(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let m = state[i] + step.coefficients[ADAM_MEAN_STEP] * (g - state[i]);
    var s = state[STATE_STRIDE + i] + step.coefficients[ADAM_SQUARE_STEP] * (g * g - state[STATE_STRIDE + i]);
    state[i] = m;
    state[STATE_STRIDE + i] = s;
    if AMSGRAD {
        s = max(s, state[2u * STATE_STRIDE + i]);
        state[2u * STATE_STRIDE + i] = s;
    }
    return p
        - step.learning_rate * m / (sqrt(s) * step.coefficients[ADAM_CORRECTION] + step.coefficients[ADAM_EPSILON]);
}
