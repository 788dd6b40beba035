// Stochastic gradient descent: p <- p - learning_rate g.

/// Returns the new values of the parameters p with the index i, for the gradients g.
fn sgd(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f {
    return p - step.learning_rate * g;
}
