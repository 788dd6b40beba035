// adamax: m <- beta1 m + (1 - beta1) g, u <- max(beta2 u, |g| + epsilon), p <- p - rate m' / u
// State: m, u. step.mean = 1 - beta1, step.momentum = beta2; the learning rate holds m's correction 1 / (1 - beta1^t).

fn adamax(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    let m = state[i] + step.mean * (g - state[i]);
    let u = max(step.momentum * state[PLANE + i], abs(g) + step.epsilon);
    state[i] = m;
    state[PLANE + i] = u;
    return p - step.learning_rate * m / u;
}
