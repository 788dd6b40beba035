// ln(1 + e) for e in [0, 1], where WGSL's log is not accurate enough: 2 atanh(s) for s = e / (2 + e), as a series up to
// s^15.

/// Returns ln(1 + e).
fn ln_1p(e: vec4f) -> vec4f {
    let s = e / (2.0 + e);
    let q = s * s;
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 +
        q * (1.0 / 13.0 + q / 15.0)))))));
}
