// average <- kept average + (1 - kept) p, beside the parameters: the last plane of the state

fn ema(p: vec4f, i: u32, step: Step) -> vec4f {
    let at = EMA_STATE * STATE_STRIDE + i;
    state[at] += step.ema_weight * (p - state[at]);
    return p;
}
