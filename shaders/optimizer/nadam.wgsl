// nadam: m and s as in adam, p <- p - (fresh g + rate m) / (sqrt(s') + epsilon)
// State: m, s. step.mean = 1 - beta1, step.square = 1 - beta2, step.correction = 1 / sqrt(1 - beta2^t);
// step.fresh = lr (1 - mu(t)) / (1 - P(t)), the learning rate is lr mu(t + 1) / (1 - P(t + 1)).

fn nadam(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let m = state[i] + step.mean * (g - state[i]);
    let s = state[PLANE + i] + step.square * (g * g - state[PLANE + i]);
    state[i] = m;
    state[PLANE + i] = s;
    return p - (step.fresh * g + step.learning_rate * m) / (sqrt(s) * step.correction + step.epsilon);
}
