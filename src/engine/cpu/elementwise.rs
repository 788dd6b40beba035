//! What a step does with each number by itself, as loops over them: one for each function, so that none chooses at every
//! number. Macros write them, since a closure that is called in several places may stay a call. They have to be inlined into a dispatch, as [`crate::util::math`] says.

use crate::{
    nn::{activation::Activation, loss::Loss},
    util::math::{Fma, exp, exp_m1, normal_cdf, sigmoid, sin_cos, softplus, tanh, tanh_of_softplus},
};

/// Puts each value through `activation`.
#[inline(always)]
pub(crate) fn activate(fma: Fma, activation: Activation, values: &mut [f32]) {
    macro_rules! each {
        ($values:ident, |$z:ident| $value:expr) => {
            for value in $values {
                let $z = *value;
                *value = $value;
            }
        };
    }
    let [lambda, alpha] = [1.050_701, 1.673_263_2];
    match activation {
        Activation::Identity | Activation::Softmax => {}
        Activation::Sigmoid => each!(values, |z| sigmoid(fma, z)),
        Activation::Tanh => each!(values, |z| tanh(fma, z)),
        // Compared this way round, NaN stays NaN.
        Activation::Relu => each!(values, |z| if z <= 0.0 { 0.0 } else { z }),
        Activation::LeakyRelu { negative_slope: slope } | Activation::Prelu { initial_slope: slope } => {
            each!(values, |z| if z <= 0.0 { slope as f32 * z } else { z })
        }
        Activation::Elu { alpha } => each!(values, |z| {
            let below = alpha as f32 * exp_m1(fma, z);
            if z <= 0.0 { below } else { z }
        }),
        Activation::Selu => each!(values, |z| {
            let below = alpha * exp_m1(fma, z);
            lambda * if z <= 0.0 { below } else { z }
        }),
        Activation::Gelu => each!(values, |z| z * normal_cdf(fma, z)),
        Activation::GeluTanh => each!(values, |z| 0.5 * z * (1.0 + tanh(fma, gelu_tanh_argument(z)))),
        Activation::Silu => each!(values, |z| z * sigmoid(fma, z)),
        Activation::Mish => each!(values, |z| z * tanh_of_softplus(fma, z)),
        Activation::Softplus => each!(values, |z| softplus(fma, z)),
        // Beyond 2^24 the 1 is rounded away, and infinity would be divided by itself.
        Activation::Softsign => each!(values, |z| if z.abs() > 1e8 { z.signum() } else { z / (1.0 + z.abs()) }),
        Activation::HardSigmoid => each!(values, |z| (z / 6.0 + 0.5).clamp(0.0, 1.0)),
        Activation::HardTanh => each!(values, |z| z.clamp(-1.0, 1.0)),
        Activation::Sine { frequency } => each!(values, |z| sin_cos(fma, frequency as f32 * z, 0)),
        Activation::Gaussian => each!(values, |z| exp(fma, -z * z)),
        Activation::Custom(custom) => each!(values, |z| custom.apply(f64::from(z)) as f32),
    }
}

/// The slopes where the sums are `z`, of an activation whose value does not tell them.
#[inline(always)]
pub(crate) fn derivatives(fma: Fma, activation: Activation, z: &[f32], into: &mut [f32]) {
    macro_rules! each {
        ($z:ident, $into:ident, |$value:ident| $slope:expr) => {
            for (slope, $value) in $into.iter_mut().zip($z) {
                let $value = *$value;
                *slope = $slope;
            }
        };
    }
    match activation {
        Activation::Gelu => each!(z, into, |z| {
            const NORMAL_DENSITY: f32 = 0.398_942_3;
            normal_cdf(fma, z) + z * exp(fma, -0.5 * z * z) * NORMAL_DENSITY
        }),
        Activation::GeluTanh => each!(z, into, |z| {
            let t = tanh(fma, gelu_tanh_argument(z));
            0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * GELU_TANH[0] * (1.0 + 3.0 * GELU_TANH[1] * z * z)
        }),
        Activation::Silu => each!(z, into, |z| {
            let s = sigmoid(fma, z);
            s * (1.0 + z * (1.0 - s))
        }),
        Activation::Mish => each!(z, into, |z| {
            let t = tanh_of_softplus(fma, z);
            t + z * sigmoid(fma, z) * (1.0 - t * t)
        }),
        Activation::Sine { frequency } => {
            each!(z, into, |z| frequency as f32 * sin_cos(fma, frequency as f32 * z, 1));
        }
        Activation::Gaussian => each!(z, into, |z| -2.0 * z * exp(fma, -z * z)),
        Activation::Custom(custom) => each!(z, into, |z| custom.derivative(f64::from(z)) as f32),
        // The value tells these derivatives; see `times_slope`.
        Activation::Identity
        | Activation::Sigmoid
        | Activation::Tanh
        | Activation::Relu
        | Activation::LeakyRelu { .. }
        | Activation::Elu { .. }
        | Activation::Selu
        | Activation::Softplus
        | Activation::Softsign
        | Activation::HardSigmoid
        | Activation::HardTanh
        | Activation::Softmax => unreachable!("the derivative follows from the value"),
        // Each neuron has a slope of its own, which `norm::forward` knows.
        Activation::Prelu { .. } => unreachable!("the slopes are parameters"),
    }
}

const GELU_TANH: [f32; 2] = [0.797_884_6, 0.044_715];

#[inline(always)]
fn gelu_tanh_argument(z: f32) -> f32 {
    GELU_TANH[0] * (z + GELU_TANH[1] * z * z * z)
}

/// Multiplies `delta` by the slope where the activation has the values `a`, or by the `kept` one where they do not tell it.
#[inline(always)]
pub(crate) fn multiply_by_derivative(activation: Activation, a: &[f32], derivatives: &[f32], delta: &mut [f32]) {
    macro_rules! each {
        ($a:ident, $delta:ident, |$value:ident| $slope:expr) => {
            for (d, $value) in $delta.iter_mut().zip($a) {
                let $value = *$value;
                *d *= $slope;
            }
        };
    }
    let [lambda, lambda_alpha] = [1.050_701, 1.758_099_3];
    match activation {
        Activation::Identity | Activation::Softmax => {}
        Activation::Sigmoid => each!(a, delta, |a| a * (1.0 - a)),
        Activation::Tanh => each!(a, delta, |a| 1.0 - a * a),
        Activation::Relu => each!(a, delta, |a| if a > 0.0 { 1.0 } else { 0.0 }),
        Activation::LeakyRelu { negative_slope: slope } => {
            each!(a, delta, |a| if a > 0.0 { 1.0 } else { slope as f32 })
        }
        Activation::Elu { alpha } => each!(a, delta, |a| if a > 0.0 { 1.0 } else { a + alpha as f32 }),
        Activation::Selu => each!(a, delta, |a| if a > 0.0 { lambda } else { a + lambda_alpha }),
        // 1 - e^-a; the outputs of softplus are above 0, so e^-a lies below 1.
        Activation::Softplus => each!(a, delta, |a| -exp_m1(Fma::NONE, -a)),
        Activation::Softsign => each!(a, delta, |a| (1.0 - a.abs()) * (1.0 - a.abs())),
        Activation::HardSigmoid => each!(a, delta, |a| if a > 0.0 && a < 1.0 { 1.0 / 6.0 } else { 0.0 }),
        Activation::HardTanh => each!(a, delta, |a| if a.abs() < 1.0 { 1.0 } else { 0.0 }),
        Activation::Gelu
        | Activation::GeluTanh
        | Activation::Silu
        | Activation::Mish
        | Activation::Sine { .. }
        | Activation::Gaussian
        | Activation::Prelu { .. }
        | Activation::Custom(_) => {
            for (d, slope) in delta.iter_mut().zip(derivatives) {
                *d *= slope;
            }
        }
    }
}

/// `dLoss/dz` of the output layer for one row of outputs `y` and expected `t`; `kept` as for [`times_slope`].
#[inline(always)]
pub(crate) fn output_delta(
    fma: Fma,
    (loss, activation): (Loss, Activation),
    scale: f32,
    (y, t, kept): (&[f32], &[f32], &[f32]),
    delta: &mut [f32],
) {
    macro_rules! each {
        ($delta:ident, |$y:ident, $t:ident| $gradient:expr) => {
            for (d, ($y, $t)) in $delta.iter_mut().zip(y.iter().zip(t)) {
                let ($y, $t) = (*$y, *$t);
                *d = $gradient * scale;
            }
        };
    }
    match loss {
        Loss::Auto | Loss::Mse => each!(delta, |y, t| 2.0 * (y - t)),
        Loss::L1 => each!(delta, |y, t| sign(y - t)),
        Loss::Huber { delta: most } => each!(delta, |y, t| (y - t).clamp(-most as f32, most as f32)),
        Loss::LogCosh => each!(delta, |y, t| tanh(fma, y - t)),
        Loss::BinaryCrossEntropy => each!(delta, |y, t| y - t),
        Loss::BinaryCrossEntropyWithLogits => each!(delta, |y, t| sigmoid(fma, y) - t),
        Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } => {
            softmax_delta::<1>(fma, loss, scale, (y, t), delta, 1);
        }
        Loss::Hinge => each!(delta, |y, t| {
            let s = 2.0 * t - 1.0;
            if s * y < 1.0 { -s } else { 0.0 }
        }),
        // Beyond, f32 ends.
        Loss::Poisson => each!(delta, |y, t| exp(fma, if y > 88.0 { 88.0 } else { y }) - t),
        Loss::RelativeL2 => each!(delta, |y, t| 2.0 * (y - t) / (y * y + 0.01)),
        Loss::Custom(custom) => {
            each!(delta, |y, t| custom.derivative(f64::from(y), f64::from(t)) as f32);
        }
    }
    if loss.required_output_activation().is_none() {
        multiply_by_derivative(activation, y, kept, delta);
    }
}

/// [`output_delta`] of the losses that look at the row, for `N` rows side by side: an output lies `stride` behind the one
/// before.
#[inline(always)]
pub(crate) fn softmax_delta<const N: usize>(
    fma: Fma,
    loss: Loss,
    scale: f32,
    (y, t): (&[f32], &[f32]),
    delta: &mut [f32],
    stride: usize,
) {
    let mut largest = [f32::NEG_INFINITY; N];
    for y in y.chunks(stride) {
        for (a, b) in largest.iter_mut().zip(y) {
            *a = if *b > *a { *b } else { *a };
        }
    }
    let mut sum = [0.0; N];
    for (delta, y) in delta.chunks_mut(stride).zip(y.chunks(stride)) {
        for (delta, (y, largest)) in delta[..N].iter_mut().zip(y.iter().zip(&largest)) {
            *delta = exp(fma, y - largest);
        }
    }
    for delta in delta.chunks(stride) {
        for (sum, delta) in sum.iter_mut().zip(delta) {
            *sum += delta;
        }
    }
    let smoothing =
        if let Loss::LabelSmoothedCrossEntropy { label_smoothing: smoothing } = loss { smoothing } else { 0.0 };
    let (kept, spread) = ((1.0 - smoothing) as f32, (smoothing / y.len().div_ceil(stride) as f64) as f32);
    // What is expected in all, over the sum of the exponentials.
    let mut factors = [0.0; N];
    for t in t.chunks(stride) {
        for (factor, t) in factors.iter_mut().zip(t) {
            *factor += t;
        }
    }
    for (factor, sum) in factors.iter_mut().zip(&sum) {
        *factor = fma.mul_add(*factor, kept, smoothing as f32) / sum;
    }
    for (delta, t) in delta.chunks_mut(stride).zip(t.chunks(stride)) {
        for (delta, (t, factor)) in delta[..N].iter_mut().zip(t.iter().zip(&factors)) {
            *delta = (*delta * factor - fma.mul_add(*t, kept, spread)) * scale;
        }
    }
}

/// 0 at 0.
#[inline(always)]
pub(crate) fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::activation::tests::KINKS;

    #[test]
    fn activations_are_as_exact_as_f32_lets_them_be() {
        for (activation, fma) in Activation::ALL.iter().flat_map(|a| [(a, Fma::NONE), (a, Fma::ONE)]) {
            let mut worst = 0.0f64;
            for i in -80_000..=80_000 {
                let z = i as f32 * 1e-3 + 1e-6;
                let mut value = [z];
                activate(fma, *activation, &mut value);
                let expected = activation.apply(f64::from(z));
                // Where values cross 0, their errors need not get smaller with them.
                let crosses = !activation.derivative_from_output() || *activation == Activation::HardSigmoid;
                let least = if crosses { 1.0 } else { 1e-30 };
                worst = worst.max((f64::from(value[0]) - expected).abs() / expected.abs().max(least));
            }
            assert!(worst < 2.5e-7, "{activation}, fused {fma:?}: {worst:e}");
        }
    }

    #[test]
    fn slopes_at_kinks_are_those_of_the_reference() {
        // A prelu's slope is among what is kept.
        for (activation, z, slope) in KINKS.into_iter().filter(|(a, ..)| a.derivative_from_output()) {
            let mut delta = [1.0];
            multiply_by_derivative(activation, &[activation.apply(z) as f32], &[], &mut delta);
            assert!((f64::from(delta[0]) - slope).abs() < 1e-6, "{activation} at {z}: {}", delta[0]);
        }
    }

    #[test]
    fn slopes_are_the_finite_differences_of_the_values() {
        const STEP: f32 = 1.0 / 64.0;
        for activation in Activation::ALL {
            let value = |z: f32| {
                let mut value = [z];
                activate(Fma::NONE, *activation, &mut value);
                value[0]
            };
            // Off the kinks, which are at whole numbers.
            for z in (-80..80).map(|i| (i as f32 + 0.5) / 16.0) {
                let mut kept = Vec::new();
                if !activation.derivative_from_output() {
                    kept.resize(1, f32::NAN);
                    derivatives(Fma::NONE, *activation, &[z], &mut kept);
                }
                let mut delta = [1.0];
                multiply_by_derivative(*activation, &[value(z)], &kept, &mut delta);
                let expected = (value(z + STEP) - value(z - STEP)) / (2.0 * STEP);
                assert!((delta[0] - expected).abs() < 1e-3, "{activation} at {z}: {} and not {expected}", delta[0]);
            }
        }
    }

    #[test]
    fn activations_keep_nan_and_bear_infinity() {
        for activation in Activation::ALL {
            let mut row = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            activate(Fma::NONE, *activation, &mut row);
            assert!(row[0].is_nan(), "{activation}");
            for (got, z) in row[1..].iter().zip([f64::INFINITY, f64::NEG_INFINITY]) {
                let expected = activation.apply(z);
                assert!(
                    (!got.is_finite() && !expected.is_finite())
                        || f64::from(*got) == expected
                        || (f64::from(*got) - expected).abs() < 1e-30 + 1e-7 * expected.abs(),
                    "{activation} of {z}: {got}"
                );
            }
        }
    }
}
