// g <- g, clamped to [-clip_value, clip_value], element by element.

/// Returns the clipped gradients.
fn clip_by_value(g: vec4f, step: Step) -> vec4f {
    return clamp(g, vec4f(-step.clip_value), vec4f(step.clip_value));
}
