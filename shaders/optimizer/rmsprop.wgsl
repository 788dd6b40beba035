// rmsprop: s <- alpha s + (1 - alpha) g^2, p <- p - learning_rate g / (sqrt(s) + epsilon)
// State: s; centered, the mean of g, whose square is taken from s; with a momentum, the velocity that the quotient goes
// into. SQUARE_STEP is 1 - alpha.

fn rmsprop(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    var s = state[i] + step.coefficients[RMSPROP_SQUARE_STEP] * (g * g - state[i]);
    state[i] = s;
    if CENTERED {
        let center = state[STATE_STRIDE + i] + step.coefficients[RMSPROP_SQUARE_STEP] * (g - state[STATE_STRIDE + i]);
        state[STATE_STRIDE + i] = center;
        // Rounding may leave less than nothing.
        s = max(s - center * center, vec4f());
    }
    var change = g / (sqrt(s) + step.coefficients[RMSPROP_EPSILON]);
    if HAS_MOMENTUM {
        let at = select(STATE_STRIDE, 2u * STATE_STRIDE, CENTERED) + i;
        change += step.coefficients[RMSPROP_MOMENTUM] * state[at];
        state[at] = change;
    }
    return p - step.learning_rate * change;
}
