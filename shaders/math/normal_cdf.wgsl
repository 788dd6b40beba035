// The distribution function of the standard normal distribution, (1 + erf(z / sqrt 2)) / 2, with an error below 1e-7.
// The polynomials are fitted to erf(x) / x in x^2 for x up to 1, and to erfc(x) e^(x^2) in 1 / (1 + 0.4 x) for larger
// x.

/// Returns the probability of a value below z.
fn normal_cdf(z: vec4f) -> vec4f {
    let x = abs(z) * 0.70710678;
    let s = x * x;
    let small = x * (1.12837912 + s * (-0.376123262 + s * (0.112801801 + s * (-0.0267113106 +
        s * (0.00491755057 + s * -0.000563141882)))));
    let t = 1.0 / (1.0 + 0.4 * x);
    let tail = t * exp(-s) * (0.225620813 + t * (0.22678845 + t * (0.198186047 + t * (0.214964253 +
        t * (0.00491606885 + t * (0.246633921 + t * -0.117370819))))));
    let below = 0.5 * select(tail, 1.0 - small, x < vec4f(1.0));
    return select(1.0 - below, below, z < vec4f());
}
