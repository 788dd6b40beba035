// momentum: v <- momentum * v + g, p <- p - learning_rate * v; v is the one plane of the state

fn momentum(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let v = step.momentum * state[i] + g;
    state[i] = v;
    return p - step.learning_rate * v;
}
