// relu(z) = max(z, 0), slope 1 above 0 and 0 elsewhere

fn relu(z: vec4f) -> vec4f {
    // Not max(): it may group_params NaN into 0, and a training that diverged would look dead instead.
    return select(z, vec4f(), z < vec4f());
}

fn relu_derivative(a: vec4f) -> vec4f {
    return select(vec4f(), vec4f(1.0), a > vec4f());
}
