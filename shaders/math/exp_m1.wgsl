// e^z - 1 for z <= 0. Near 0 the difference would lose digits, so the function uses its Taylor series up to z^7.

/// Returns e^z - 1.
fn exp_m1(z: vec4f) -> vec4f {
    let small = z * (1.0 + z / 2.0 * (1.0 + z / 3.0 * (1.0 + z / 4.0 * (1.0 + z / 5.0 * (1.0
        + z / 6.0 * (1.0 + z / 7.0))))));
    return select(exp(z) - 1.0, small, z > vec4f(-0.35));
}
