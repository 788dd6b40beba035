// g <- g + decay p + l1 sign(p), the gradient with the penalties decay / 2 p^2 and l1 |p|. With decoupled weight decay
// (Loshchilov and Hutter 2019), p <- p - decay p instead, where decay contains the learning rate. `penalty_mask` is 0
// for biases without penalties, otherwise 1.

/// Returns the gradients g plus those of the penalties.
fn add_penalty(g: vec4f, p: vec4f, penalty_mask: f32, step: Step) -> vec4f {
    if DECOUPLED {
        return g + penalty_mask * step.l1 * sign(p);
    }
    return g + penalty_mask * (step.decay * p + step.l1 * sign(p));
}

/// Returns the parameters p after the decoupled weight decay.
fn apply_decay(p: vec4f, penalty_mask: f32, step: Step) -> vec4f {
    if DECOUPLED {
        return p - penalty_mask * step.decay * p;
    }
    return p;
}
