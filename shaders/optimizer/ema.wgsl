// The EMA of the parameters: average <- average + ema_weight (p - average) for ema_weight = 1 - ema_decay. The average
// is the last state vector.

/// Updates the average of the parameters with the index i, and returns p.
fn ema(p: vec4f, i: u32, step: Step) -> vec4f {
    let index = EMA_STATE * STATE_STRIDE + i;
    state[index] += step.ema_weight * (p - state[index]);
    return p;
}
