// sin(x) and cos(x), for which WGSL guarantees an absolute error of only 2^-11. The angle is reduced to within pi / 4
// of a multiple of pi / 2, which is subtracted in three summands (Cody and Waite 1980): the first ones have so few bits
// that their multiples are exact. Taylor series follow. The fma calls keep compilers from merging the summands.

/// Returns sin(x) for `shift` 0 and cos(x) for `shift` 1, for |x| up to about 10,000.
fn sin_cos(x: vec4f, shift: f32) -> vec4f {
    let n = round(x * 0.636619772);
    let r = fma(n, vec4f(-3.13855737e-7), fma(n, vec4f(-0.000483512878), fma(n, vec4f(-1.5703125), x)));
    let s = r * r;
    let sine = r * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0)))));
    let cosine = 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0
        + s * (-1.0 / 3628800.0)))));
    let quarter = vec4i(n) + vec4i(i32(shift));
    let value = select(sine, cosine, (quarter & vec4i(1)) != vec4i());
    return select(value, -value, (quarter & vec4i(2)) != vec4i());
}
