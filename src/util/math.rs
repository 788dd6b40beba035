//! Functions of one number, written so that the compiler turns a loop over them into vector code for the CPU that is
//! there. They have to be inlined all the way into a `pulp::Arch::dispatch`, or they stay at the instructions of the
//! oldest CPU.

use pulp::{Simd, WithSimd};

/// Loops to dispatch. pulp takes closures as they are, too, but calls them through `FnOnce`, and for a closure that
/// could be called again that is a shim, which is not inlined: then the loops stay at SSE.
pub(crate) struct Loops<F>(pub(crate) F);

impl<F: FnMut(Fma)> WithSimd for Loops<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        (self.0)(Fma::detect::<S>());
    }
}

/// Whether the CPU multiplies and adds in one instruction. Where it does not, `f32::mul_add` would be a slow call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fma(bool);

impl Fma {
    pub(crate) const NONE: Self = Self(false);
    #[cfg(test)]
    pub(crate) const ONE: Self = Self(true);

    /// Of the instructions that pulp chose: from AVX2 and from NEON on, but not in WebAssembly.
    #[inline(always)]
    pub(crate) const fn detect<S: Simd>() -> Self {
        Self(!S::IS_SCALAR && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")))
    }

    /// `a b + c`, rounded once or twice.
    #[inline(always)]
    pub(crate) fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        if self.0 { a.mul_add(b, c) } else { a * b + c }
    }
}

/// The sign of `x` as PyTorch defines it: unlike [`f64::signum`] it is 0 at 0.
pub(crate) fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// Adding it rounds a small number to a whole one, which then stands in the lowest bits.
const ROUNDING_SHIFT: f32 = 12_582_912.0;

/// `e^x` for x up to 88, within about 1 ulp, as in Cephes' expf; NaN stays NaN. Below -87 it stays at e^-87, near the
/// smallest normal number.
#[inline(always)]
pub(crate) fn exp(fma: Fma, x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = fma.mul_add(x, std::f32::consts::LOG2_E, ROUNDING_SHIFT);
    let n = shifted - ROUNDING_SHIFT;
    // ln 2 in two parts, the first with so few bits that its product with n is exact.
    let r = fma.mul_add(n, 2.121_944_4e-4, fma.mul_add(n, -0.693_359_4, x));
    let mut e = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        e = fma.mul_add(e, r, coefficient);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    fma.mul_add(e * r, r, r + 1.0) * power
}

#[inline(always)]
pub(crate) fn sigmoid(fma: Fma, z: f32) -> f32 {
    // From e^-|z|, which neither overflows nor loses the digits of a small result.
    let e = exp(fma, -z.abs());
    (if z < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

#[inline(always)]
pub(crate) fn tanh(fma: Fma, z: f32) -> f32 {
    // Near 0 the difference of two numbers near 1 would lose its digits: Cephes' polynomial.
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

/// `p0 + x (p1 + x (p2 ...))`
#[inline(always)]
fn polynomial<const N: usize>(fma: Fma, x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for coefficient in coefficients.into_iter().rev() {
        sum = fma.mul_add(sum, x, coefficient);
    }
    sum
}

/// `e^x - 1` for x up to 0: from `tanh(x / 2)`, since near 0 the difference would lose its digits.
#[inline(always)]
pub(crate) fn exp_m1(fma: Fma, x: f32) -> f32 {
    let t = tanh(fma, 0.5 * x);
    2.0 * t / (1.0 - t)
}

/// `ln(1 + e)` for e from 0 to 1: `2 atanh(s)` for `s = e / (2 + e)`, by its series.
#[inline(always)]
pub(crate) fn ln_1p(fma: Fma, e: f32) -> f32 {
    let s = e / (2.0 + e);
    let terms = [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0];
    2.0 * s * polynomial(fma, s * s, terms)
}

/// `ln(1 + e^x)`; NaN stays NaN.
#[inline(always)]
pub(crate) fn softplus(fma: Fma, x: f32) -> f32 {
    (if x < 0.0 { 0.0 } else { x }) + ln_1p(fma, exp(fma, -x.abs()))
}

/// `tanh(ln(1 + e^x)) = n / (n + 2)` for `n = e^x (e^x + 2)`.
#[inline(always)]
pub(crate) fn tanh_of_softplus(fma: Fma, x: f32) -> f32 {
    let e = exp(fma, -x.abs());
    let (below, above) = (e * (e + 2.0), 1.0 + 2.0 * e);
    if x < 0.0 { below / (below + 2.0) } else { above / (above + 2.0 * e * e) }
}

/// The share of the standard normal distribution below x, within 1e-7; as in `shaders/math/error.wgsl`.
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

/// `sin(x)`, or `cos(x)` with a shift of 1, for |x| up to some 10,000; as in `shaders/math/circle.wgsl`.
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
