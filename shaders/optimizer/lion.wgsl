// lion: p <- p - learning_rate sign(beta1 m + (1 - beta1) g), m <- beta2 m + (1 - beta2) g
// State: m. step.square = 1 - beta1, step.mean = 1 - beta2.

fn lion(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let m = state[i];
    state[i] = m + step.mean * (g - m);
    return p - step.learning_rate * sign(m + step.square * (g - m));
}
