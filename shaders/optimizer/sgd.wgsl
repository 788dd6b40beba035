// sgd: p <- p - learning_rate * g

fn sgd(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    return p - step.learning_rate * g;
}
