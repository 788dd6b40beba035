// No number of the gradient is larger in size than the step's clip_value

fn clip_by_value(g: vec4f, step: Step) -> vec4f {
    return clamp(g, vec4f(-step.clip_value), vec4f(step.clip_value));
}
