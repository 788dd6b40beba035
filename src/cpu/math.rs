//! Element-wise functions as plain loops, which the compiler turns into vector code for the CPU that is there. They
//! have to be inlined all the way into a `pulp::Arch::dispatch`, or they stay at the instructions of the oldest CPU.

use pulp::{Simd, WithSimd};

use crate::{Activation, Loss, Optimizer, step::Step};

/// Loops to dispatch. pulp takes closures as they are, too, but calls them through `FnOnce`, and for a closure that
/// could be called again that is a shim, which is not inlined: then the loops stay at SSE.
pub(super) struct Loops<F>(pub(super) F);

impl<F: FnMut(Fma)> WithSimd for Loops<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        (self.0)(Fma::of::<S>());
    }
}

/// Whether the CPU multiplies and adds in one instruction. Where it does not, `f32::mul_add` would be a slow call.
#[derive(Clone, Copy)]
pub(super) struct Fma(bool);

impl Fma {
    /// Of the instructions that pulp chose: from AVX2 and from NEON on, but not in WebAssembly.
    #[inline(always)]
    pub(super) const fn of<S: Simd>() -> Self {
        Self(!S::IS_SCALAR && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")))
    }

    /// `a b + c`, rounded once or twice.
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        if self.0 { a.mul_add(b, c) } else { a * b + c }
    }
}

/// `e^x` for x up to 0, within about 1 ulp, as in Cephes' expf; NaN stays NaN. Below -87 it stays at e^-87, near the
/// smallest normal number.
#[inline(always)]
fn exp(fma: Fma, x: f32) -> f32 {
    /// Adding it rounds a small number to a whole one, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = fma.mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
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
fn sigmoid(fma: Fma, z: f32) -> f32 {
    // From e^-|z|, which neither overflows nor loses the digits of a small result.
    let e = exp(fma, -z.abs());
    (if z < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

#[inline(always)]
fn tanh(fma: Fma, z: f32) -> f32 {
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

/// Puts each value through `activation`: one loop for each function, so that none chooses at every value.
#[inline(always)]
pub(super) fn activate(fma: Fma, activation: Activation, values: &mut [f32]) {
    let values = values.iter_mut();
    match activation {
        Activation::Identity => {}
        Activation::Sigmoid => values.for_each(|z| *z = sigmoid(fma, *z)),
        Activation::Tanh => values.for_each(|z| *z = tanh(fma, *z)),
        // Compared this way round, NaN stays NaN.
        Activation::Relu => values.for_each(|z| *z = if *z <= 0.0 { 0.0 } else { *z }),
    }
}

/// Multiplies `delta` by the slope where the activation has the values `a`.
#[inline(always)]
pub(super) fn times_slope(activation: Activation, a: &[f32], delta: &mut [f32]) {
    let pairs = delta.iter_mut().zip(a);
    match activation {
        Activation::Identity => {}
        Activation::Sigmoid => pairs.for_each(|(d, a)| *d *= a * (1.0 - a)),
        Activation::Tanh => pairs.for_each(|(d, a)| *d *= 1.0 - a * a),
        Activation::Relu => pairs.for_each(|(d, a)| *d = if *a > 0.0 { *d } else { 0.0 }),
    }
}

/// `dLoss/dz` of the output layer for one row of outputs `y` and expected `t`.
#[inline(always)]
pub(super) fn output_delta(
    fma: Fma,
    (loss, activation): (Loss, Activation),
    scale: f32,
    (y, t): (&[f32], &[f32]),
    delta: &mut [f32],
) {
    let rows = delta.iter_mut().zip(y.iter().zip(t));
    match loss {
        Loss::Mse => {
            rows.for_each(|(d, (y, t))| *d = 2.0 * (y - t) * scale);
            times_slope(activation, y, delta);
        }
        Loss::BinaryCrossEntropy => rows.for_each(|(d, (y, t))| *d = (y - t) * scale),
        Loss::SoftmaxCrossEntropy => {
            let largest = y.iter().fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
            rows.for_each(|(d, (y, _))| *d = exp(fma, y - largest));
            let sum: f32 = delta.iter().sum();
            delta.iter_mut().zip(t).for_each(|(d, t)| *d = (*d / sum - t) * scale);
        }
    }
}

/// Changes the parameters `p` by their gradients `g`; `state` holds the optimizer's planes, one after the other.
#[inline(always)]
pub(super) fn update(optimizer: Optimizer, step: &Step, p: &mut [f32], g: &[f32], state: &mut [f32]) {
    let (rate, momentum) = (step.learning_rate, step.momentum);
    match optimizer {
        Optimizer::Sgd { .. } => p.iter_mut().zip(g).for_each(|(p, g)| *p -= rate * g),
        Optimizer::Momentum { .. } => p.iter_mut().zip(g).zip(state).for_each(|((p, g), velocity)| {
            *velocity = momentum * *velocity + g;
            *p -= rate * *velocity;
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_within_a_few_ulp_of_f64() {
        for (activation, fma) in Activation::ALL.iter().flat_map(|a| [(a, Fma(false)), (a, Fma(true))]) {
            let mut worst = 0.0f64;
            for i in -80_000..=80_000 {
                let z = i as f32 * 1e-3 + 1e-6;
                let mut value = [z];
                activate(fma, *activation, &mut value);
                let expected = activation.apply(f64::from(z));
                worst = worst.max((f64::from(value[0]) - expected).abs() / expected.abs().max(1e-30));
            }
            assert!(worst < 2.5e-7, "{activation}, fused {}: {worst:e}", fma.0);
        }
    }

    #[test]
    fn activations_keep_nan_and_bear_infinity() {
        for activation in Activation::ALL {
            let mut row = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            activate(Fma(false), *activation, &mut row);
            assert!(row[0].is_nan(), "{activation}");
            for (got, z) in row[1..].iter().zip([f64::INFINITY, f64::NEG_INFINITY]) {
                let expected = activation.apply(z);
                assert!(
                    f64::from(*got) == expected || (f64::from(*got) - expected).abs() < 1e-30,
                    "{activation} of {z}: {got}"
                );
            }
        }
    }
}
