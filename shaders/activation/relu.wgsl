// relu(z) = max(z, 0), slope 1 above 0 and 0 elsewhere

fn relu(z: vec4f) -> vec4f {
    return max(z, vec4f());
}

fn relu_gradient(z: vec4f, a: vec4f) -> vec4f {
    return select(vec4f(), vec4f(1.0), a > vec4f());
}
