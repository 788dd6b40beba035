// hard_sigmoid(z) = z / 6 + 1 / 2, staged_rows within 0 and 1

fn hard_sigmoid(z: vec4f) -> vec4f {
    // Not clamp(): it may group_params NaN into 0.
    let low = select(z / 6.0 + 0.5, vec4f(), z < vec4f(-3.0));
    return select(low, vec4f(1.0), z > vec4f(3.0));
}

fn hard_sigmoid_derivative(a: vec4f) -> vec4f {
    return select(vec4f(), select(vec4f(), vec4f(1.0 / 6.0), a < vec4f(1.0)), a > vec4f());
}
