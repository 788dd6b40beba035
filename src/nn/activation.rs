//! The activations: each an arm here and a file in `shaders/activation/`.

use crate::{
    error::{Error, Result},
    nn::custom::CustomActivation,
    util::family::{files, parse},
};

/// What a neuron does with the sum of its weighted inputs and its bias, `z`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `z` itself: a linear layer.
    Identity,
    /// `1 / (1 + e^-z)`, the textbook's: from 0 to 1.
    Sigmoid,
    /// `tanh z`: from -1 to 1.
    Tanh,
    /// `max(z, 0)` (Nair and Hinton 2010).
    Relu,
    /// `z` above 0 and `slope z` below (Maas et al. 2013; PyTorch's slope is 0.01).
    LeakyRelu {
        /// From 0 up.
        negative_slope: f64,
    },
    /// `z` above 0 and `alpha (e^z - 1)` below (Clevert et al. 2016; PyTorch's alpha is 1).
    Elu {
        /// From 0 up.
        alpha: f64,
    },
    /// `1.0507 z` above 0 and `1.7581 (e^z - 1)` below: keeps mean 0 and variance 1 (Klambauer et al. 2017, with their digits).
    Selu,
    /// `z` times the normal distribution's share below `z`: `z / 2 (1 + erf(z / sqrt 2))` (Hendrycks and Gimpel 2016).
    Gelu,
    /// Its older approximation: `z / 2 (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))`.
    GeluTanh,
    /// `z / (1 + e^-z)`, also called swish (Elfwing et al. 2018).
    Silu,
    /// `z tanh(ln(1 + e^z))` (Misra 2020).
    Mish,
    /// `ln(1 + e^z)` (Dugas et al. 2001).
    Softplus,
    /// `z / (1 + |z|)` (Turian et al. 2009).
    Softsign,
    /// `z / 6 + 1 / 2`, held within 0 and 1 (PyTorch's; Keras' is another).
    HardSigmoid,
    /// `z`, held within -1 and 1 (Collobert 2004).
    HardTanh,
    /// `sin(frequency z)` (Sitzmann et al. 2020, who take 30 and [`crate::nn::Init::Siren`]).
    Sine {
        /// Radians for each unit of `z`; not 0.
        frequency: f64,
    },
    /// `e^(-z^2)`
    Gaussian,
    /// `z` above 0 and `slope z` below, with a slope for each neuron that is learned (He et al. 2015; PyTorch's starts as
    /// 0.25). For hidden layers without a norm and without dropout.
    Prelu {
        /// What all slopes start as.
        initial_slope: f64,
    },
    /// `e^z / sum e^z` over the neurons of the output layer, for softmax losses: predictions are probabilities then. In
    /// training the loss takes the sums themselves, so that nothing is rounded away.
    Softmax,
    /// One of the caller's own.
    Custom(&'static CustomActivation),
}

/// Klambauer et al.'s lambda and alpha.
pub(crate) const SELU: [f64; 2] = [1.050_700_987_355_480_5, 1.673_263_242_354_377_2];
/// The factor and the cubic's coefficient of [`Activation::GeluTanh`].
const GELU_TANH: [f64; 2] = [0.797_884_560_802_865_4, 0.044_715];

impl Activation {
    /// One of each that is a function of the sum alone, for tests and benches to walk: all but the learned
    /// [`Activation::Prelu`], [`Activation::Softmax`] and the caller's own.
    pub const ALL: &[Self] = &[
        Self::Identity,
        Self::Sigmoid,
        Self::Tanh,
        Self::Relu,
        Self::LeakyRelu { negative_slope: 0.01 },
        Self::Elu { alpha: 1.0 },
        Self::Selu,
        Self::Gelu,
        Self::GeluTanh,
        Self::Silu,
        Self::Mish,
        Self::Softplus,
        Self::Softsign,
        Self::HardSigmoid,
        Self::HardTanh,
        Self::Sine { frequency: 1.0 },
        Self::Gaussian,
    ];

    /// The name, as it stands in files and as its WGSL function is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Elu { .. } => "elu",
            Self::Selu => "selu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Silu => "silu",
            Self::Mish => "mish",
            Self::Softplus => "softplus",
            Self::Softsign => "softsign",
            Self::HardSigmoid => "hard_sigmoid",
            Self::HardTanh => "hard_tanh",
            Self::Sine { .. } => "sine",
            Self::Gaussian => "gaussian",
            Self::Prelu { .. } => "prelu",
            Self::Softmax => "softmax",
            Self::Custom(custom) => custom.name(),
        }
    }

    /// The number that it has to be told, if there is one.
    pub const fn parameter(self) -> Option<f64> {
        match self {
            Self::LeakyRelu { negative_slope: slope } | Self::Prelu { initial_slope: slope } => Some(slope),
            Self::Elu { alpha } => Some(alpha),
            Self::Sine { frequency } => Some(frequency),
            Self::Identity
            | Self::Sigmoid
            | Self::Tanh
            | Self::Relu
            | Self::Selu
            | Self::Gelu
            | Self::GeluTanh
            | Self::Silu
            | Self::Mish
            | Self::Softplus
            | Self::Softsign
            | Self::HardSigmoid
            | Self::HardTanh
            | Self::Gaussian
            | Self::Softmax
            | Self::Custom(_) => None,
        }
    }

    /// The same with another number.
    fn with_parameter(self, number: f64) -> Self {
        match self {
            Self::LeakyRelu { .. } => Self::LeakyRelu { negative_slope: number },
            Self::Prelu { .. } => Self::Prelu { initial_slope: number },
            Self::Elu { .. } => Self::Elu { alpha: number },
            Self::Sine { .. } => Self::Sine { frequency: number },
            Self::Identity
            | Self::Sigmoid
            | Self::Tanh
            | Self::Relu
            | Self::Selu
            | Self::Gelu
            | Self::GeluTanh
            | Self::Silu
            | Self::Mish
            | Self::Softplus
            | Self::Softsign
            | Self::HardSigmoid
            | Self::HardTanh
            | Self::Gaussian
            | Self::Softmax
            | Self::Custom(_) => self,
        }
    }

    /// The activation of `z`.
    pub fn apply(self, z: f64) -> f64 {
        let [lambda, alpha] = SELU;
        match self {
            // What softmax makes of a row is done by who has the row.
            Self::Identity | Self::Softmax => z,
            Self::Sigmoid => sigmoid(z),
            Self::Tanh => libm::tanh(z),
            // Not max(): that would turn NaN into 0.
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
            // In this form infinity gives 1.
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

    /// Its slope at `z`, where it has the value `a`; at a kink PyTorch's: relu's slope at 0 is 0.
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
                let slope = GELU_TANH[0] * (1.0 + 3.0 * GELU_TANH[1] * z * z);
                0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope
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

    /// Whether its slopes are learned.
    pub(crate) const fn has_parameters(self) -> bool {
        matches!(self, Self::Prelu { .. })
    }

    /// Whether the slope is a function of the value: then nothing else is kept of the way forward.
    pub(crate) const fn derivative_from_output(self) -> bool {
        match self {
            Self::Identity
            | Self::Sigmoid
            | Self::Tanh
            | Self::Relu
            | Self::LeakyRelu { .. }
            | Self::Elu { .. }
            | Self::Selu
            | Self::Softplus
            | Self::Softsign
            | Self::HardSigmoid
            | Self::HardTanh
            | Self::Softmax => true,
            Self::Gelu
            | Self::GeluTanh
            | Self::Silu
            | Self::Mish
            | Self::Sine { .. }
            | Self::Gaussian
            | Self::Prelu { .. }
            | Self::Custom(_) => false,
        }
    }

    /// Refuses a number that makes no activation.
    pub(crate) fn check(self) -> Result<()> {
        let is_good = match self {
            Self::Prelu { initial_slope: slope } => (slope as f32).is_finite(),
            Self::LeakyRelu { negative_slope: slope } => slope >= 0.0 && (slope as f32).is_finite(),
            Self::Elu { alpha } => alpha >= 0.0 && (alpha as f32).is_finite(),
            Self::Sine { frequency } => frequency != 0.0 && (frequency as f32).is_finite(),
            Self::Custom(custom) => return custom.check(),
            Self::Identity
            | Self::Sigmoid
            | Self::Tanh
            | Self::Relu
            | Self::Selu
            | Self::Gelu
            | Self::GeluTanh
            | Self::Silu
            | Self::Mish
            | Self::Softplus
            | Self::Softsign
            | Self::HardSigmoid
            | Self::HardTanh
            | Self::Gaussian
            | Self::Softmax => true,
        };
        let expected = "a finite number from 0 up, and not 0 for sine".to_owned();
        let wrong = || Error::InvalidSetting { name: "number of an activation", expected, got: self.to_string() };
        if is_good { Ok(()) } else { Err(wrong()) }
    }

    pub(crate) const fn wgsl(self) -> &'static [&'static str] {
        match self {
            Self::Identity | Self::Softmax => files!("activation/identity"),
            Self::Sigmoid => files!("activation/sigmoid"),
            Self::Tanh => files!("activation/tanh"),
            Self::Relu => files!("activation/relu"),
            Self::LeakyRelu { .. } => files!("activation/leaky_relu"),
            Self::Elu { .. } => files!("activation/elu", "math/exp_m1"),
            Self::Selu => files!("activation/selu", "math/exp_m1"),
            Self::Gelu => files!("activation/gelu", "math/normal_cdf"),
            Self::GeluTanh => files!("activation/gelu_tanh", "activation/tanh"),
            Self::Silu => files!("activation/silu", "activation/sigmoid"),
            Self::Mish => files!("activation/mish", "activation/sigmoid"),
            Self::Softplus => files!("activation/softplus", "math/ln_1p", "math/exp_m1"),
            Self::Softsign => files!("activation/softsign"),
            Self::HardSigmoid => files!("activation/hard_sigmoid"),
            Self::HardTanh => files!("activation/hard_tanh"),
            Self::Sine { .. } => files!("activation/sine", "math/sin_cos"),
            Self::Gaussian => files!("activation/gaussian"),
            Self::Prelu { .. } => files!("activation/prelu"),
            Self::Custom(custom) => custom.pieces(),
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + libm::log1p(libm::exp(-z.abs()))
}

/// How much of the standard normal distribution lies below `z`.
fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

fn gelu_tanh_argument(z: f64) -> f64 {
    GELU_TANH[0] * (z + GELU_TANH[1] * z * z * z)
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let Some(number) = self.parameter() {
            write!(f, "({number})")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Activation {
    type Err = Error;

    /// The member of that name, such as `leaky_relu` or `leaky_relu(0.2)`.
    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::ALL, &[Self::Prelu { initial_slope: 0.25 }, Self::Softmax]].concat();
        parse("activation", text, &all, Self::name, Self::with_parameter)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn nan_stays_nan() {
        for activation in Activation::ALL {
            assert!(activation.apply(f64::NAN).is_nan(), "{activation}");
        }
    }

    #[test]
    fn slopes_are_those_of_the_values() {
        for activation in Activation::ALL {
            for i in -800..800 {
                // Off the kinks.
                let (z, step) = (f64::from(i) * 0.01 + 0.0037, 1e-6);
                let slope = (activation.apply(z + step) - activation.apply(z - step)) / (2.0 * step);
                let given = activation.derivative(z, activation.apply(z));
                assert!((given - slope).abs() < 1e-8, "{activation} at {z}: {given} instead of {slope}");
            }
        }
    }

    /// Those with kinks: where they are, and the slope there, as PyTorch 2 has it.
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
    fn slopes_at_kinks_are_those_of_pytorch() {
        for (activation, z, slope) in KINKS {
            assert_eq!(activation.derivative(z, activation.apply(z)), slope, "{activation} at {z}");
        }
    }

    #[test]
    fn names_parse() {
        for activation in Activation::ALL {
            assert_eq!(activation.name().parse(), Ok(*activation));
            assert_eq!(activation.to_string().parse(), Ok(*activation));
        }
        assert_eq!("leaky_relu(0.2)".parse(), Ok(Activation::LeakyRelu { negative_slope: 0.2 }));
        for wrong in ["Sigmoid", "sigmoid(1)", "elu(", "elu(x)", "elu()", ""] {
            assert!(wrong.parse::<Activation>().is_err(), "{wrong}");
        }
    }
}
