// g + decay p + l1 sign(p): the slopes of decay / 2 p^2 and l1 |p|. `reach` is 0 for a bias that is spared, else 1.

fn penalized(g: vec4f, p: vec4f, reach: f32, step: Step) -> vec4f {
    if DECOUPLED {
        return g + reach * step.l1 * sign(p);
    }
    return g + reach * (step.decay * p + step.l1 * sign(p));
}

/// p (1 - learning_rate decay), where the decay is decoupled from the gradient.
fn decayed(p: vec4f, reach: f32, step: Step) -> vec4f {
    if DECOUPLED {
        return p - reach * step.decay * p;
    }
    return p;
}
