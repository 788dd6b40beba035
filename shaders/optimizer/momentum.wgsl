// Momentum (Polyak 1964): v <- momentum v + (1 - dampening) g, p <- p - learning_rate v. With Nesterov momentum
// (Sutskever et al. 2013), p <- p - learning_rate (g + momentum v). The first v is g.
// State vector: v. GRADIENT_FACTOR is 1 - dampening, or 1 in the first update.

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn momentum(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let v = step.coefficients[MOMENTUM_MOMENTUM] * state[i] + step.coefficients[MOMENTUM_GRADIENT_FACTOR] * g;
    state[i] = v;
    if NESTEROV {
        return p - step.learning_rate * (g + step.coefficients[MOMENTUM_MOMENTUM] * v);
    }
    return p - step.learning_rate * v;
}
