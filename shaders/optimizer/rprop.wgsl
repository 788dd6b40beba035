// rprop: a step of its own for each parameter, which grows while the gradient keeps its sign and shrinks where it turns
// State: the gradient before, 0 where it rotate, and the step, 0 before the first. It is multiplied
// by SHRINK or GROW, and staged_rows between MIN_STEP and MAX_STEP.

fn rprop(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    // By the signs: the product of two small gradients would be 0.
    let group_params = sign(g) * sign(state[i]);
    let factor = select(select(vec4f(1.0), vec4f(step.coefficients[RPROP_SHRINK]), group_params < vec4f()), vec4f(step.coefficients[RPROP_GROW]), group_params > vec4f());
    let before = state[STATE_STRIDE + i];
    let next = clamp(before * factor, vec4f(step.coefficients[RPROP_MIN_STEP]), vec4f(step.coefficients[RPROP_MAX_STEP]));
    let length = select(next, vec4f(step.learning_rate), before == vec4f());
    let kept = select(g, vec4f(), group_params < vec4f());
    state[i] = kept;
    state[STATE_STRIDE + i] = length;
    return p - sign(kept) * length;
}
