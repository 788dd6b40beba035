//! Elementary functions of one number. The compiler vectorizes loops over them for the CPU that runs them. They must be
//! inlined completely into a `pulp::Arch::dispatch`; otherwise they use only the instructions of the oldest supported
//! CPU.

use pulp::{Simd, WithSimd};

/// A closure with loops for `pulp::Arch::dispatch`.
///
/// pulp also accepts closures directly, but calls them through `FnOnce`. For an `FnMut` closure that is a shim, which
/// the compiler does not inline, so the loops would use only SSE.
pub(crate) struct Loops<F>(pub(crate) F);

impl<F: FnMut(Fma)> WithSimd for Loops<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        (self.0)(Fma::detect::<S>());
    }
}

/// Whether the CPU has a fused multiply-add instruction. Without it, `f32::mul_add` is a slow function call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fma(bool);

impl Fma {
    pub(crate) const NONE: Self = Self(false);
    #[cfg(test)]
    pub(crate) const ONE: Self = Self(true);

    /// Returns whether the instruction set that pulp chose has it: AVX2 or later and NEON, but not WebAssembly.
    #[inline(always)]
    pub(crate) const fn detect<S: Simd>() -> Self {
        Self(!S::IS_SCALAR && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")))
    }

    /// Computes `a * b + c`, rounded once with the instruction and twice without it.
    #[inline(always)]
    pub(crate) fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        if self.0 { a.mul_add(b, c) } else { a * b + c }
    }
}

/// Returns the sign of `x` as PyTorch defines it: unlike [`f64::signum`], it is 0 for 0.
pub(crate) fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// Adding this number (1.5 * 2^23) rounds a small number to an integer, which is then in the lowest bits of the sum.
const ROUNDING_SHIFT: f32 = 12_582_912.0;

/// Computes `e^x` for x <= 88 within about 1 ulp, as in Cephes' expf. NaN stays NaN. For x < -87 the result is e^-87,
/// which is near the smallest normal number.
#[inline(always)]
pub(crate) fn exp(fma: Fma, x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = fma.mul_add(x, std::f32::consts::LOG2_E, ROUNDING_SHIFT);
    let n = shifted - ROUNDING_SHIFT;
    // Split ln 2 into two parts. The first has few bits, so its product with n is exact.
    let r = fma.mul_add(n, 2.121_944_4e-4, fma.mul_add(n, -0.693_359_4, x));
    let mut e = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        e = fma.mul_add(e, r, coefficient);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    fma.mul_add(e * r, r, r + 1.0) * power
}

/// Computes the logistic function `1 / (1 + e^-z)`.
#[inline(always)]
pub(crate) fn sigmoid(fma: Fma, z: f32) -> f32 {
    // e^-|z| does not overflow, and keeps the digits of a small result.
    let e = exp(fma, -z.abs());
    (if z < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// Computes `tanh(z)`.
#[inline(always)]
pub(crate) fn tanh(fma: Fma, z: f32) -> f32 {
    // Near 0, `1 - e` would lose digits, so use Cephes' polynomial.
    let s = z * z;
    let mut small = -5.704_988_7e-3;
    for coefficient in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        small = fma.mul_add(small, s, coefficient);
    }
    let small = fma.mul_add(small * s, z, z);
    let e = exp(fma, -2.0 * z.abs());
    let large = ((1.0 - e) / (1.0 + e)).copysign(z);
    if z.abs() < 0.625 { small } else { large }
}

/// Computes `p0 + x (p1 + x (p2 ...))` by Horner's method.
#[inline(always)]
fn polynomial<const N: usize>(fma: Fma, x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for coefficient in coefficients.into_iter().rev() {
        sum = fma.mul_add(sum, x, coefficient);
    }
    sum
}

/// Computes `e^x - 1` for x <= 0 from `tanh(x / 2)`, because the difference would lose digits near 0.
#[inline(always)]
pub(crate) fn exp_m1(fma: Fma, x: f32) -> f32 {
    let t = tanh(fma, 0.5 * x);
    2.0 * t / (1.0 - t)
}

/// Computes `ln(1 + e)` for e in [0, 1] by the series of `2 atanh(s)` with `s = e / (2 + e)`.
#[inline(always)]
pub(crate) fn ln_1p(fma: Fma, e: f32) -> f32 {
    let s = e / (2.0 + e);
    let terms = [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0];
    2.0 * s * polynomial(fma, s * s, terms)
}

/// Computes `ln(1 + e^x)`. NaN stays NaN.
#[inline(always)]
pub(crate) fn softplus(fma: Fma, x: f32) -> f32 {
    (if x < 0.0 { 0.0 } else { x }) + ln_1p(fma, exp(fma, -x.abs()))
}

/// Computes `tanh(ln(1 + e^x)) = n / (n + 2)` with `n = e^x (e^x + 2)`.
#[inline(always)]
pub(crate) fn tanh_of_softplus(fma: Fma, x: f32) -> f32 {
    let e = exp(fma, -x.abs());
    let (below, above) = (e * (e + 2.0), 1.0 + 2.0 * e);
    if x < 0.0 { below / (below + 2.0) } else { above / (above + 2.0 * e * e) }
}

/// Computes the cumulative distribution function of the standard normal distribution within 1e-7, like
/// `shaders/math/normal_cdf.wgsl`.
#[inline(always)]
pub(crate) fn normal_cdf(fma: Fma, x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let s = z * z;
    let small =
        [std::f32::consts::FRAC_2_SQRT_PI, -0.376_123_26, 0.112_801_8, -0.026_711_31, 0.004_917_551, -0.000_563_141_9];
    let small = z * polynomial(fma, s, small);
    let t = 1.0 / (1.0 + 0.4 * z);
    let tail = [0.225_620_8, 0.226_788_45, 0.198_186_05, 0.214_964_25, 0.004_916_069, 0.246_633_92, -0.117_370_82];
    let tail = t * exp(fma, -s) * polynomial(fma, t, tail);
    let below = 0.5 * if z < 1.0 { 1.0 - small } else { tail };
    if x < 0.0 { below } else { 1.0 - below }
}

/// Computes `sin(x)`, or `cos(x)` if `shift` is 1, for |x| up to about 10,000, like `shaders/math/sin_cos.wgsl`.
#[inline(always)]
pub(crate) fn sin_cos(fma: Fma, x: f32, shift: u32) -> f32 {
    let shifted = fma.mul_add(x, std::f32::consts::FRAC_2_PI, ROUNDING_SHIFT);
    let n = shifted - ROUNDING_SHIFT;
    let r = fma.mul_add(n, -3.138_557_4e-7, fma.mul_add(n, -0.000_483_512_9, fma.mul_add(n, -1.570_312_5, x)));
    let s = r * r;
    let sine = r * polynomial(fma, s, [1.0, -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0]);
    let cosine = polynomial(fma, s, [1.0, -0.5, 1.0 / 24.0, -1.0 / 720.0, 1.0 / 40_320.0, -1.0 / 3_628_800.0]);
    let quarter = shifted.to_bits().wrapping_add(shift);
    let value = if quarter & 1 == 1 { cosine } else { sine };
    if quarter & 2 == 2 { -value } else { value }
}
