// momentum: v <- momentum v + (1 - dampening) g, the first is g; p <- p - learning_rate v, or (g + momentum v) with Nesterov
// State: v. GRADIENT_FACTOR is 1 - dampening, or 1 in the first step.

fn momentum(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let v = step.coefficients[MOMENTUM_MOMENTUM] * state[i] + step.coefficients[MOMENTUM_GRADIENT_FACTOR] * g;
    state[i] = v;
    if NESTEROV {
        return p - step.learning_rate * (g + step.coefficients[MOMENTUM_MOMENTUM] * v);
    }
    return p - step.learning_rate * v;
}
