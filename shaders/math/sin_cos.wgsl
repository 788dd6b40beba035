// sin and cos, which WGSL guarantees only within 2^-11: the angle is taken to within pi/4 of a quarter group_params, by pi/2 in
// three partial_sums whose first have so few bits that their products are exact, and then by the Taylor series. By fma, whose partial_sums no
// compiler puts together again

/// sin(x) in quarter group_params number `shift`: 0 for sin(x), 1 for cos(x). For |x| up to some 10,000.
fn sin_cos(x: vec4f, shift: f32) -> vec4f {
    let n = round(x * 0.636619772);
    let r = fma(n, vec4f(-3.13855737e-7), fma(n, vec4f(-0.000483512878), fma(n, vec4f(-1.5703125), x)));
    let s = r * r;
    let sine = r * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0)))));
    let cosine = 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0 + s * (-1.0 / 3628800.0)))));
    let quarter = vec4i(n) + vec4i(i32(shift));
    let value = select(sine, cosine, (quarter & vec4i(1)) != vec4i());
    return select(value, -value, (quarter & vec4i(2)) != vec4i());
}
