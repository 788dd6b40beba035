// RMSprop (Tieleman and Hinton 2012): s <- alpha s + (1 - alpha) g^2, p <- p - learning_rate g / (sqrt(s) + epsilon).
// The centered variant (Graves 2013) subtracts the square of the mean of g from s. With momentum, the quotient is added
// to a velocity, v <- momentum v + quotient, and p <- p - learning_rate v.
// State vectors: s, the mean if centered, the velocity with momentum. SQUARE_STEP is 1 - alpha.

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn rmsprop(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    var s = state[i] + step.coefficients[RMSPROP_SQUARE_STEP] * (g * g - state[i]);
    state[i] = s;
    if CENTERED {
        let center = state[STATE_STRIDE + i] + step.coefficients[RMSPROP_SQUARE_STEP] * (g - state[STATE_STRIDE + i]);
        state[STATE_STRIDE + i] = center;
        // Rounding may make the difference negative.
        s = max(s - center * center, vec4f());
    }
    var change = g / (sqrt(s) + step.coefficients[RMSPROP_EPSILON]);
    if HAS_MOMENTUM {
        let index = select(STATE_STRIDE, 2u * STATE_STRIDE, CENTERED) + i;
        change += step.coefficients[RMSPROP_MOMENTUM] * state[index];
        state[index] = change;
    }
    return p - step.learning_rate * change;
}
