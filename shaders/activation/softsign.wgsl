// softsign(z) = z / (1 + |z|), slope (1 - |a|)^2

fn softsign(z: vec4f) -> vec4f {
    // Beyond 2^24 the 1 is rounded away, and infinity would be divided by itself.
    let far = select(vec4f(1.0), vec4f(-1.0), z < vec4f());
    return select(z / (1.0 + abs(z)), far, abs(z) > vec4f(1e8));
}

fn softsign_derivative(a: vec4f) -> vec4f {
    let b = 1.0 - abs(a);
    return b * b;
}
