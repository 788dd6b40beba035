// g + decay p + l1 sign(p): the slopes of decay / 2 p^2 and l1 |p|. `penalty_mask` is 0 for a bias that is spared, else 1.

fn add_penalty(g: vec4f, p: vec4f, penalty_mask: f32, step: Step) -> vec4f {
    if DECOUPLED {
        return g + penalty_mask * step.l1 * sign(p);
    }
    return g + penalty_mask * (step.decay * p + step.l1 * sign(p));
}

/// p (1 - learning_rate decay), where the decay is decoupled from the gradient.
fn apply_decay(p: vec4f, penalty_mask: f32, step: Step) -> vec4f {
    if DECOUPLED {
        return p - penalty_mask * step.decay * p;
    }
    return p;
}
