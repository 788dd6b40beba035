//! The values and derivatives of the activations in f64, for the reference and the tests.

use crate::nn::activation::Activation;

/// The factors lambda and alpha of [`Activation::Selu`] (Klambauer et al. 2017, with their digits).
pub(crate) const SELU: [f64; 2] = [1.050_700_987_355_480_5, 1.673_263_242_354_377_2];
/// The factor `sqrt(2 / pi)` and the coefficient of the cube in [`Activation::GeluTanh`].
const GELU_TANH: [f64; 2] = [0.797_884_560_802_865_4, 0.044_715];

impl Activation {
    /// Returns the value of the activation at the pre-activation `z`, in f64.
    ///
    /// For [`Activation::Softmax`] it returns `z`, because a softmax needs the full row. For [`Activation::Prelu`] it
    /// uses the initial slope.
    pub fn apply(self, z: f64) -> f64 {
        let [lambda, alpha] = SELU;
        match self {
            // A softmax needs the full row; the callers that have the row compute it.
            Self::Identity | Self::Softmax => z,
            Self::Sigmoid => sigmoid(z),
            Self::Tanh => libm::tanh(z),
            // Not f64::max, which would turn NaN into 0.
            Self::Relu => {
                if z < 0.0 {
                    0.0
                } else {
                    z
                }
            }
            Self::LeakyRelu { negative_slope: slope } | Self::Prelu { initial_slope: slope } => {
                if z < 0.0 {
                    slope * z
                } else {
                    z
                }
            }
            Self::Elu { alpha } => {
                if z < 0.0 {
                    alpha * libm::expm1(z)
                } else {
                    z
                }
            }
            Self::Selu => lambda * if z < 0.0 { alpha * libm::expm1(z) } else { z },
            Self::Gelu => z * normal_cdf(z),
            Self::GeluTanh => 0.5 * z * (1.0 + libm::tanh(gelu_tanh_argument(z))),
            Self::Silu => z * sigmoid(z),
            Self::Mish => z * libm::tanh(softplus(z)),
            Self::Softplus => softplus(z),
            // The quotient would be NaN at infinity.
            Self::Softsign => {
                if z.is_infinite() {
                    z.signum()
                } else {
                    z / (1.0 + z.abs())
                }
            }
            Self::HardSigmoid => (z / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::HardTanh => z.clamp(-1.0, 1.0),
            Self::Sine { frequency } => libm::sin(frequency * z),
            Self::Gaussian => libm::exp(-z * z),
            Self::Custom(custom) => custom.apply(z),
        }
    }

    /// Returns the derivative at the pre-activation `z`, where `a` is the value [`apply(z)`](Self::apply).
    ///
    /// At a kink it returns the same derivative as PyTorch, for example 0 for ReLU at `z = 0`.
    #[doc(alias = "gradient")]
    pub fn derivative(self, z: f64, a: f64) -> f64 {
        let [lambda, alpha] = SELU;
        match self {
            Self::Identity | Self::Softmax => 1.0,
            Self::Sigmoid => a * (1.0 - a),
            Self::Tanh => 1.0 - a * a,
            Self::Relu => f64::from(z > 0.0),
            Self::LeakyRelu { negative_slope: slope } | Self::Prelu { initial_slope: slope } => {
                if z > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Elu { alpha } => {
                if z > 0.0 {
                    1.0
                } else {
                    a + alpha
                }
            }
            Self::Selu => {
                if z > 0.0 {
                    lambda
                } else {
                    a + lambda * alpha
                }
            }
            Self::Gelu => normal_cdf(z) + z * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt(),
            Self::GeluTanh => {
                let t = libm::tanh(gelu_tanh_argument(z));
                let inner = GELU_TANH[0] * (1.0 + 3.0 * GELU_TANH[1] * z * z);
                0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * inner
            }
            Self::Silu => sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z))),
            Self::Mish => {
                let t = libm::tanh(softplus(z));
                t + z * sigmoid(z) * (1.0 - t * t)
            }
            Self::Softplus => sigmoid(z),
            Self::Softsign => (1.0 - a.abs()) * (1.0 - a.abs()),
            Self::HardSigmoid => {
                if z > -3.0 && z < 3.0 {
                    1.0 / 6.0
                } else {
                    0.0
                }
            }
            Self::HardTanh => f64::from(z > -1.0 && z < 1.0),
            Self::Sine { frequency } => frequency * libm::cos(frequency * z),
            Self::Gaussian => -2.0 * z * a,
            Self::Custom(custom) => custom.derivative(z),
        }
    }
}

/// Returns `1 / (1 + e^-z)`.
fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

/// Returns `ln(1 + e^z)` in a form that does not overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + libm::log1p(libm::exp(-z.abs()))
}

/// Returns the cumulative distribution function of the standard normal distribution.
fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Returns the argument of the hyperbolic tangent in [`Activation::GeluTanh`].
fn gelu_tanh_argument(z: f64) -> f64 {
    GELU_TANH[0] * (z + GELU_TANH[1] * z * z * z)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn apply_returns_nan_for_nan() {
        for activation in Activation::ALL {
            assert!(activation.apply(f64::NAN).is_nan(), "{activation}");
        }
    }

    #[test]
    fn derivative_matches_finite_differences() {
        for activation in Activation::ALL {
            for i in -800..800 {
                // The offset keeps every point away from the kinks.
                let (z, step) = (f64::from(i) * 0.01 + 0.0037, 1e-6);
                let expected = (activation.apply(z + step) - activation.apply(z - step)) / (2.0 * step);
                let derivative = activation.derivative(z, activation.apply(z));
                let error = (derivative - expected).abs();
                assert!(error < 1e-8, "{activation} at {z}: expected {expected}, got {derivative}");
            }
        }
    }

    /// The activations with kinks: activation, position of the kink, and the derivative there according to PyTorch 2.
    pub(crate) const KINKS: [(Activation, f64, f64); 9] = [
        (Activation::Relu, 0.0, 0.0),
        (Activation::LeakyRelu { negative_slope: 0.01 }, 0.0, 0.01),
        (Activation::Prelu { initial_slope: 0.25 }, 0.0, 0.25),
        (Activation::Elu { alpha: 0.5 }, 0.0, 0.5),
        (Activation::Selu, 0.0, SELU[0] * SELU[1]),
        (Activation::HardSigmoid, -3.0, 0.0),
        (Activation::HardSigmoid, 3.0, 0.0),
        (Activation::HardTanh, -1.0, 0.0),
        (Activation::HardTanh, 1.0, 0.0),
    ];

    #[test]
    fn derivative_at_kinks_matches_pytorch() {
        for (activation, z, derivative) in KINKS {
            assert_eq!(activation.derivative(z, activation.apply(z)), derivative, "{activation} at {z}");
        }
    }
}
