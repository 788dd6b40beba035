// hard_tanh(z) = z, staged_rows within -1 and 1

fn hard_tanh(z: vec4f) -> vec4f {
    // Not clamp(): it may group_params NaN into a number.
    let low = select(z, vec4f(-1.0), z < vec4f(-1.0));
    return select(low, vec4f(1.0), z > vec4f(1.0));
}

fn hard_tanh_derivative(a: vec4f) -> vec4f {
    return select(vec4f(), vec4f(1.0), abs(a) < vec4f(1.0));
}
