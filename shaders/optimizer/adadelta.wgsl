// Adadelta (Zeiler 2012): s <- rho s + (1 - rho) g^2, d = g sqrt(u + epsilon) / sqrt(s + epsilon),
// u <- rho u + (1 - rho) d^2, p <- p - learning_rate d.
// State vectors: s, u. SQUARE_STEP is 1 - rho.

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn adadelta(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let s = state[i] + step.coefficients[ADADELTA_SQUARE_STEP] * (g * g - state[i]);
    let u = state[STATE_STRIDE + i];
    let d = g * sqrt(u + step.coefficients[ADADELTA_EPSILON]) / sqrt(s + step.coefficients[ADADELTA_EPSILON]);
    state[i] = s;
    state[STATE_STRIDE + i] = u + step.coefficients[ADADELTA_SQUARE_STEP] * (d * d - u);
    return p - step.learning_rate * d;
}
