// Normal noise on the features, the same wherever and in whatever order it is computed: it follows from the epoch's key,
// the row's place in the epoch and the column. `src/noise.rs` is the same code and says where it comes from.

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

/// -ln((k + 1) / 2^24) for k below 2^24: the exponent, and the logarithm of what is left, from 3/4 to 3/2.
fn neg_ln(k: vec4u) -> vec4f {
    let bits = bitcast<vec4u>(vec4f(k + 1u));
    let mantissa = bitcast<vec4f>((bits & vec4u(0x7fffffu)) | vec4u(0x3f800000u));
    let is_high = mantissa >= vec4f(1.5);
    let power = vec4f(bits >> vec4u(23u)) + select(vec4f(-151.0), vec4f(-150.0), is_high);
    return -(power * 0.693147181 + ln_1p(select(mantissa, 0.5 * mantissa, is_high) - 1.0));
}

fn add_noise(v: vec4f, step: Step, row: u32, column: u32) -> vec4f {
    let random = pcg4d(vec4u(step.shuffle_key, step.first_position + row, column)) >> vec4u(8u);
    let radius = sqrt(2.0 * neg_ln(random.xyxy));
    // The first two by the cosine.
    let angle = vec4f(random.zwzw) * 3.74507e-7 + vec4f(1.57079633, 1.57079633, 0.0, 0.0);
    return mask_padding(v + NOISE_STD * radius * sin_cos(angle, 0.0), 4u * column, layer(0u).inputs);
}
