// x <- x + NOISE_STD n for the features x, where n has the standard normal distribution. n depends only on the key of
// the epoch, the position of the row in the epoch and the column, so every device computes the same noise in any order.
// `src/data/noise.rs` is the same code.

/// Hashes a counter of four numbers to four random numbers (pcg4d of Jarzynski and Olano 2020).
fn pcg4d(counter: vec4u) -> vec4u {
    var v = counter * 1664525u + 1013904223u;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v ^= v >> vec4u(16u);
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}

/// Returns -ln((k + 1) / 2^24) for k below 2^24: the exponent times ln 2, plus the logarithm of the mantissa, which is
/// in [3/4, 3/2).
fn neg_ln(k: vec4u) -> vec4f {
    let bits = bitcast<vec4u>(vec4f(k + 1u));
    let mantissa = bitcast<vec4f>((bits & vec4u(0x7fffffu)) | vec4u(0x3f800000u));
    let is_high = mantissa >= vec4f(1.5);
    let power = vec4f(bits >> vec4u(23u)) + select(vec4f(-151.0), vec4f(-150.0), is_high);
    return -(power * 0.693147181 + ln_1p(select(mantissa, 0.5 * mantissa, is_high) - 1.0));
}

/// Returns the features v of a row, at the vec4 `column`, with noise (Box and Muller 1958).
fn add_noise(v: vec4f, step: Step, row: u32, column: u32) -> vec4f {
    let random = pcg4d(vec4u(step.shuffle_key, step.first_position + row, column)) >> vec4u(8u);
    let radius = sqrt(2.0 * neg_ln(random.xyxy));
    // 2 pi / 2^24 per unit. A quarter turn turns the first two sines into cosines.
    let angle = vec4f(random.zwzw) * 3.74507e-7 + vec4f(1.57079633, 1.57079633, 0.0, 0.0);
    return mask_padding(v + NOISE_STD * radius * sin_cos(angle, 0.0), 4u * column, layer(0u).inputs);
}
