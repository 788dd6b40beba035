//! The elementwise functions of a step: activations, derivatives and deltas of losses.
//!
//! Each function has a separate loop, so that no loop selects the function at every value. Macros generate the loops,
//! because the compiler may not inline a closure that is called in several places. All functions must be inlined into a
//! `pulp::Arch::dispatch`; see [`crate::util::math`].

use crate::{
    nn::{activation::Activation, loss::Loss},
    util::math::{Fma, exp, exp_m1, normal_cdf, sigmoid, sin_cos, softplus, tanh, tanh_of_softplus},
};

/// Applies `activation` to each value.
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
        // With this comparison NaN stays NaN.
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
        // Above 2^24 adding 1 has no effect, and infinity divided by infinity would be NaN.
        Activation::Softsign => each!(values, |z| if z.abs() > 1e8 { z.signum() } else { z / (1.0 + z.abs()) }),
        Activation::HardSigmoid => each!(values, |z| (z / 6.0 + 0.5).clamp(0.0, 1.0)),
        Activation::HardTanh => each!(values, |z| z.clamp(-1.0, 1.0)),
        Activation::Sine { frequency } => each!(values, |z| sin_cos(fma, frequency as f32 * z, 0)),
        Activation::Gaussian => each!(values, |z| exp(fma, -z * z)),
        Activation::Custom(custom) => each!(values, |z| custom.apply(f64::from(z)) as f32),
    }
}

/// Computes the derivatives at the pre-activations `z`, for activations whose derivative does not follow from the
/// output.
#[inline(always)]
pub(crate) fn derivatives(fma: Fma, activation: Activation, z: &[f32], into: &mut [f32]) {
    macro_rules! each {
        ($z:ident, $into:ident, |$value:ident| $derivative:expr) => {
            for (derivative, $value) in $into.iter_mut().zip($z) {
                let $value = *$value;
                *derivative = $derivative;
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
        // `multiply_by_derivative` computes these derivatives from the output.
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
        | Activation::Softmax => unreachable!("the derivative follows from the output"),
        // Each neuron has its own slope, so `normalization::forward` handles PReLU.
        Activation::Prelu { .. } => unreachable!("the slopes are parameters"),
    }
}

/// The coefficients `sqrt(2 / pi)` and 0.044715 of the tanh approximation of GELU (Hendrycks and Gimpel 2016).
const GELU_TANH: [f32; 2] = [0.797_884_6, 0.044_715];

/// Computes the argument of tanh in the tanh approximation of GELU.
#[inline(always)]
fn gelu_tanh_argument(z: f32) -> f32 {
    GELU_TANH[0] * (z + GELU_TANH[1] * z * z * z)
}

/// Multiplies `delta` by the derivative of the activation at the outputs `a`, or by `derivatives` if the derivative
/// does not follow from the output.
#[inline(always)]
pub(crate) fn multiply_by_derivative(activation: Activation, a: &[f32], derivatives: &[f32], delta: &mut [f32]) {
    macro_rules! each {
        ($a:ident, $delta:ident, |$value:ident| $derivative:expr) => {
            for (d, $value) in $delta.iter_mut().zip($a) {
                let $value = *$value;
                *d *= $derivative;
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
        // The derivative is 1 - e^-a. Outputs of softplus are positive, so e^-a < 1.
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
            for (d, derivative) in delta.iter_mut().zip(derivatives) {
                *d *= derivative;
            }
        }
    }
}

/// The outputs of one row in the output layer, with the values that its delta depends on.
#[derive(Clone, Copy)]
pub(crate) struct OutputValues<'a> {
    pub(crate) outputs: &'a [f32],
    pub(crate) targets: &'a [f32],
    /// The derivatives of the activation, or an empty slice if they follow from the outputs.
    pub(crate) derivatives: &'a [f32],
}

/// Computes the delta of the output layer, `dLoss/dz`, for one row. `scale` is the loss scale, multiplied by the sample
/// weight if there is one.
#[inline(always)]
pub(crate) fn output_delta(
    fma: Fma,
    loss: Loss,
    activation: Activation,
    scale: f32,
    values: OutputValues<'_>,
    delta: &mut [f32],
) {
    let OutputValues { outputs: y, targets: t, derivatives } = values;
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
        Loss::Huber { delta: max } => each!(delta, |y, t| (y - t).clamp(-max as f32, max as f32)),
        Loss::LogCosh => each!(delta, |y, t| tanh(fma, y - t)),
        Loss::BinaryCrossEntropy => each!(delta, |y, t| y - t),
        Loss::BinaryCrossEntropyWithLogits => each!(delta, |y, t| sigmoid(fma, y) - t),
        Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } => {
            softmax_delta::<1>(fma, loss, scale, y, t, delta, 1);
        }
        Loss::Hinge => each!(delta, |y, t| {
            let s = 2.0 * t - 1.0;
            if s * y < 1.0 { -s } else { 0.0 }
        }),
        // e^y overflows f32 for y > 88.
        Loss::Poisson => each!(delta, |y, t| exp(fma, if y > 88.0 { 88.0 } else { y }) - t),
        Loss::RelativeL2 => each!(delta, |y, t| 2.0 * (y - t) / (y * y + 0.01)),
        Loss::Custom(custom) => {
            each!(delta, |y, t| custom.derivative(f64::from(y), f64::from(t)) as f32);
        }
    }
    if loss.required_output_activation().is_none() {
        multiply_by_derivative(activation, y, derivatives, delta);
    }
}

/// Computes the delta of [`output_delta`] for losses with a softmax, for `N` rows side by side. Adjacent outputs of a
/// row are `stride` values apart.
#[inline(always)]
pub(crate) fn softmax_delta<const N: usize>(
    fma: Fma,
    loss: Loss,
    scale: f32,
    y: &[f32],
    t: &[f32],
    delta: &mut [f32],
    stride: usize,
) {
    let mut max = [f32::NEG_INFINITY; N];
    for y in y.chunks(stride) {
        for (max, y) in max.iter_mut().zip(y) {
            *max = if *y > *max { *y } else { *max };
        }
    }
    let mut sum = [0.0; N];
    for (delta, y) in delta.chunks_mut(stride).zip(y.chunks(stride)) {
        for (delta, (y, max)) in delta[..N].iter_mut().zip(y.iter().zip(&max)) {
            *delta = exp(fma, y - max);
        }
    }
    for delta in delta.chunks(stride) {
        for (sum, delta) in sum.iter_mut().zip(delta) {
            *sum += delta;
        }
    }
    let smoothing =
        if let Loss::LabelSmoothedCrossEntropy { label_smoothing: smoothing } = loss { smoothing } else { 0.0 };
    // A smoothed target is `target_factor * t + uniform_part`.
    let (target_factor, uniform_part) =
        ((1.0 - smoothing) as f32, (smoothing / y.len().div_ceil(stride) as f64) as f32);
    // The sum of the smoothed targets, divided by the sum of the exponentials.
    let mut factors = [0.0; N];
    for t in t.chunks(stride) {
        for (factor, t) in factors.iter_mut().zip(t) {
            *factor += t;
        }
    }
    for (factor, sum) in factors.iter_mut().zip(&sum) {
        *factor = fma.mul_add(*factor, target_factor, smoothing as f32) / sum;
    }
    for (delta, t) in delta.chunks_mut(stride).zip(t.chunks(stride)) {
        for (delta, (t, factor)) in delta[..N].iter_mut().zip(t.iter().zip(&factors)) {
            *delta = (*delta * factor - fma.mul_add(*t, target_factor, uniform_part)) * scale;
        }
    }
}

/// Returns the sign of `x`: 1, -1, or `x` itself for 0 and NaN.
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
    use crate::nn::activation::formulas::tests::KINKS;

    #[test]
    fn activations_match_the_f64_formulas_within_f32_rounding() {
        for (activation, fma) in Activation::ALL.iter().flat_map(|a| [(a, Fma::NONE), (a, Fma::ONE)]) {
            let mut worst = 0.0f64;
            for i in -80_000..=80_000 {
                let z = i as f32 * 1e-3 + 1e-6;
                let mut value = [z];
                activate(fma, *activation, &mut value);
                let expected = activation.apply(f64::from(z));
                // Near a zero crossing, the error is not proportional to the value.
                let crosses_zero = !activation.derivative_from_output() || *activation == Activation::HardSigmoid;
                let min_magnitude = if crosses_zero { 1.0 } else { 1e-30 };
                worst = worst.max((f64::from(value[0]) - expected).abs() / expected.abs().max(min_magnitude));
            }
            assert!(worst < 2.5e-7, "{activation}, {fma:?}: error {worst:e}");
        }
    }

    #[test]
    fn derivatives_at_kinks_match_the_reference() {
        // The derivative of a PReLU does not follow from its output.
        for (activation, z, derivative) in KINKS.into_iter().filter(|(a, ..)| a.derivative_from_output()) {
            let mut delta = [1.0];
            multiply_by_derivative(activation, &[activation.apply(z) as f32], &[], &mut delta);
            assert!((f64::from(delta[0]) - derivative).abs() < 1e-6, "{activation} at {z}: {}", delta[0]);
        }
    }

    #[test]
    fn derivatives_match_finite_differences() {
        const STEP: f32 = 1.0 / 64.0;
        for activation in Activation::ALL {
            let value = |z: f32| {
                let mut value = [z];
                activate(Fma::NONE, *activation, &mut value);
                value[0]
            };
            // The kinks are at integers, so these points avoid them.
            for z in (-80..80).map(|i| (i as f32 + 0.5) / 16.0) {
                let mut stored = Vec::new();
                if !activation.derivative_from_output() {
                    stored.resize(1, f32::NAN);
                    derivatives(Fma::NONE, *activation, &[z], &mut stored);
                }
                let mut delta = [1.0];
                multiply_by_derivative(*activation, &[value(z)], &stored, &mut delta);
                let expected = (value(z + STEP) - value(z - STEP)) / (2.0 * STEP);
                let got = delta[0];
                assert!((got - expected).abs() < 1e-3, "{activation} at {z}: expected {expected}, got {got}");
            }
        }
    }

    #[test]
    fn activations_of_nan_are_nan_and_of_infinity_match_the_f64_formulas() {
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
                    "{activation} at {z}: expected {expected}, got {got}"
                );
            }
        }
    }
}
