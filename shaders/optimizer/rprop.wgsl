// Rprop (Riedmiller and Braun 1993): p <- p - sign(g) step, with one step size per parameter. The step size is
// multiplied by GROW if the gradient has the same sign as in the previous update, and by SHRINK if the sign has
// changed; then the parameter does not change. The step size is clamped to [MIN_STEP, MAX_STEP].
// State vectors: the previous gradient, 0 after a sign change; the step size, 0 before the first update.

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn rprop(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    // Signs, because the product of two small gradients would underflow to 0.
    let sign_product = sign(g) * sign(state[i]);
    let factor = select(
        select(vec4f(1.0), vec4f(step.coefficients[RPROP_SHRINK]), sign_product < vec4f()),
        vec4f(step.coefficients[RPROP_GROW]),
        sign_product > vec4f());
    let previous = state[STATE_STRIDE + i];
    let next = clamp(
        previous * factor, vec4f(step.coefficients[RPROP_MIN_STEP]), vec4f(step.coefficients[RPROP_MAX_STEP]));
    let step_size = select(next, vec4f(step.learning_rate), previous == vec4f());
    let masked = select(g, vec4f(), sign_product < vec4f());
    state[i] = masked;
    state[STATE_STRIDE + i] = step_size;
    return p - sign(masked) * step_size;
}
