// adagrad: s <- s + g^2, p <- p - rate g / (sqrt(s) + epsilon)
// State: s without what it inputs as, which is INITIAL; the learning rate holds its decay 1 / (1 + (t - 1) decay).

fn adagrad(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let s = state[i] + g * g;
    state[i] = s;
    return p - step.learning_rate * g / (sqrt(step.coefficients[ADAGRAD_INITIAL] + s) + step.coefficients[ADAGRAD_EPSILON]);
}
