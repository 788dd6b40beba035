//! The values and derivatives of the losses in f64, for the reference, the CPU engine and the tests.

use crate::{nn::loss::Loss, util::math::sign};

/// The constant that keeps [`Loss::RelativeL2`] from dividing by 0.
const RELATIVE_L2_EPSILON: f64 = 0.01;

impl Loss {
    /// Returns the loss of one output `y` with target `t`, before the mean.
    ///
    /// Only losses with a softmax use `normalizer`, which is `ln(sum e^y)` over the full row, and `outputs`, the number
    /// of outputs in the row.
    #[inline(always)]
    pub fn value(self, y: f64, t: f64, normalizer: f64, outputs: usize) -> f64 {
        // The kernels clamp their logarithms at the smallest normal f32.
        let min = f64::from(f32::MIN_POSITIVE);
        let ln = |x: f64| if x < min { min.ln() } else { x.ln() };
        let error = y - t;
        match self {
            Self::Auto | Self::Mse => error * error,
            Self::L1 => error.abs(),
            Self::Huber { delta } => {
                let e = error.abs();
                if e <= delta { 0.5 * e * e } else { delta * (e - 0.5 * delta) }
            }
            Self::LogCosh => error.abs() + (-2.0 * error.abs()).exp().ln_1p() - std::f64::consts::LN_2,
            Self::BinaryCrossEntropy => -(t * ln(y) + (1.0 - t) * ln(1.0 - y)),
            Self::BinaryCrossEntropyWithLogits => positive_part(y) - t * y + (-y.abs()).exp().ln_1p(),
            Self::SoftmaxCrossEntropy => t * (normalizer - y),
            Self::LabelSmoothedCrossEntropy { label_smoothing } => {
                smooth_label(t, label_smoothing, outputs) * (normalizer - y)
            }
            Self::Hinge => positive_part(1.0 - (2.0 * t - 1.0) * y),
            Self::Poisson => y.exp() - t * y,
            Self::RelativeL2 => error * error / (y * y + RELATIVE_L2_EPSILON),
            Self::Custom(custom) => custom.apply(y, t),
        }
    }

    /// Returns the derivative of [`Loss::value`] for one output `y` with target `t`, before the mean.
    ///
    /// It is the derivative by the pre-activation `z` of the output layer if the loss has a
    /// [`required_output_activation`](Self::required_output_activation), and by `y` otherwise.
    ///
    /// Only losses with a softmax use the tuple and `outputs`. The tuple holds two values of the full row: the
    /// normalizer `ln(sum e^y)` and the sum of the targets, which is 1 for a class. `outputs` is the number of outputs
    /// in the row.
    #[doc(alias = "gradient")]
    pub fn derivative(self, y: f64, t: f64, (normalizer, target_sum): (f64, f64), outputs: usize) -> f64 {
        match self {
            Self::Auto | Self::Mse => 2.0 * (y - t),
            Self::L1 => sign(y - t),
            Self::Huber { delta } => (y - t).clamp(-delta, delta),
            Self::LogCosh => (y - t).tanh(),
            Self::BinaryCrossEntropy => y - t,
            Self::BinaryCrossEntropyWithLogits => 1.0 / (1.0 + (-y).exp()) - t,
            Self::SoftmaxCrossEntropy => (y - normalizer).exp() * target_sum - t,
            Self::LabelSmoothedCrossEntropy { label_smoothing } => {
                (y - normalizer).exp() * smooth_label(target_sum, label_smoothing, 1)
                    - smooth_label(t, label_smoothing, outputs)
            }
            Self::Hinge => {
                let s = 2.0 * t - 1.0;
                if s * y < 1.0 { -s } else { 0.0 }
            }
            Self::Poisson => y.exp() - t,
            Self::RelativeL2 => 2.0 * (y - t) / (y * y + RELATIVE_L2_EPSILON),
            Self::Custom(custom) => custom.derivative(y, t),
        }
    }
}

/// Returns `max(x, 0)`, but NaN for NaN, unlike [`f64::max`].
fn positive_part(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

/// Returns the smoothed target: `label_smoothing` of the probability is divided equally over all outputs.
fn smooth_label(t: f64, label_smoothing: f64, outputs: usize) -> f64 {
    t * (1.0 - label_smoothing) + label_smoothing / outputs as f64
}
