//! The activations. Each one is a variant of [`Activation`] with a file in `shaders/activation/`.

use crate::{
    error::{Error, Result},
    nn::custom::CustomActivation,
    util::family::{files, parse},
};

pub(crate) mod formulas;

/// The activation of a layer: a function of the pre-activation `z = x W + b` of each neuron.
///
/// Names such as `nn.ReLU` refer to PyTorch.
///
/// ```
/// use gradus::Activation;
/// assert_eq!(Activation::Relu.apply(-2.0), 0.0);
/// assert_eq!("leaky_relu(0.2)".parse(), Ok(Activation::LeakyRelu { negative_slope: 0.2 }));
/// ```
#[doc(alias = "nonlinearity")]
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// The identity `z`, for a linear layer (`nn.Identity`).
    #[doc(alias = "linear")]
    Identity,
    /// The logistic function `1 / (1 + e^-z)`, in (0, 1) (`nn.Sigmoid`).
    #[doc(alias = "logistic")]
    Sigmoid,
    /// The hyperbolic tangent `tanh z`, in (-1, 1) (`nn.Tanh`).
    Tanh,
    /// The rectified linear unit `max(z, 0)` (Nair and Hinton 2010; `nn.ReLU`).
    Relu,
    /// The leaky ReLU: `z` for `z >= 0`, otherwise `negative_slope * z` (Maas et al. 2013; `nn.LeakyReLU`).
    LeakyRelu {
        /// The slope for negative `z`: a finite number >= 0. The default of PyTorch is 0.01.
        negative_slope: f64,
    },
    /// The exponential linear unit: `z` for `z >= 0`, otherwise `alpha * (e^z - 1)` (Clevert et al. 2016; `nn.ELU`).
    Elu {
        /// The negated limit for `z` to minus infinity: a finite number >= 0. The default of PyTorch is 1.
        alpha: f64,
    },
    /// The scaled ELU: `1.0507 z` for `z >= 0`, otherwise `1.7581 (e^z - 1)` (Klambauer et al. 2017; `nn.SELU`). It
    /// preserves mean 0 and variance 1.
    Selu,
    /// The Gaussian error linear unit: `z` times the standard normal distribution function of `z`, which is
    /// `0.5 z (1 + erf(z / sqrt 2))` (Hendrycks and Gimpel 2016; `nn.GELU`).
    Gelu,
    /// The tanh approximation of GELU: `0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))` (Hendrycks and Gimpel 2016;
    /// `nn.GELU(approximate="tanh")`).
    GeluTanh,
    /// The sigmoid linear unit `z / (1 + e^-z)`, also called swish (Elfwing et al. 2018; `nn.SiLU`).
    #[doc(alias = "swish")]
    Silu,
    /// Mish: `z tanh(ln(1 + e^z))` (Misra 2020; `nn.Mish`).
    Mish,
    /// The softplus `ln(1 + e^z)` (Dugas et al. 2001; `nn.Softplus`).
    Softplus,
    /// The softsign `z / (1 + |z|)`, in (-1, 1) (Turian et al. 2009; `nn.Softsign`).
    Softsign,
    /// The hard sigmoid: `z / 6 + 1 / 2`, clamped to [0, 1] (`nn.Hardsigmoid`). Keras 2 uses `0.2 z + 0.5` instead.
    HardSigmoid,
    /// The hard tanh: `z`, clamped to [-1, 1] (Collobert 2004; `nn.Hardtanh`).
    HardTanh,
    /// The sine `sin(frequency * z)` (Sitzmann et al. 2020, who use the frequency 30 and
    /// [`Init::Siren`](crate::nn::Init::Siren)).
    #[doc(alias = "siren")]
    Sine {
        /// The frequency in radians per unit of `z`: a finite number other than 0.
        frequency: f64,
    },
    /// The Gaussian `e^(-z^2)`, in (0, 1].
    Gaussian,
    /// The parametric ReLU: `z` for `z >= 0`, otherwise `slope * z`, with one trained slope per neuron (He et al. 2015;
    /// `nn.PReLU`).
    ///
    /// Only hidden layers without normalization and dropout can use it.
    Prelu {
        /// The initial slope of all neurons: a finite number. The default of PyTorch is 0.25.
        initial_slope: f64,
    },
    /// The softmax `e^z / sum e^z` over the neurons of the output layer (`nn.Softmax`), for losses with a softmax. The
    /// predictions are probabilities.
    ///
    /// During training the loss uses the pre-activations themselves, which avoids rounding errors.
    Softmax,
    /// An activation that the caller defines.
    Custom(&'static CustomActivation),
}

impl Activation {
    /// One value of every variant that is a fixed function of `z`, for tests and benchmarks. [`Activation::Prelu`],
    /// [`Activation::Softmax`] and [`Activation::Custom`] are missing.
    #[doc(hidden)]
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

    /// Returns the name, for example `leaky_relu`. Files and the WGSL function use this name.
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

    /// Returns the parameter, for example the negative slope of a leaky ReLU, or `None` for a variant without one.
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

    /// Replaces the parameter; variants without a parameter stay unchanged.
    fn with_parameter(self, parameter: f64) -> Self {
        match self {
            Self::LeakyRelu { .. } => Self::LeakyRelu { negative_slope: parameter },
            Self::Prelu { .. } => Self::Prelu { initial_slope: parameter },
            Self::Elu { .. } => Self::Elu { alpha: parameter },
            Self::Sine { .. } => Self::Sine { frequency: parameter },
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

    /// Returns whether the activation has trained parameters.
    pub(crate) const fn has_parameters(self) -> bool {
        matches!(self, Self::Prelu { .. })
    }

    /// Returns whether the derivative is a function of the value `a`. If not, the forward pass also stores the
    /// derivative.
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

    /// Returns an error if the parameter or the custom function is invalid.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::LeakyRelu { negative_slope } => {
                check_parameter("leaky_relu: negative_slope", negative_slope, negative_slope >= 0.0, ">= 0")
            }
            Self::Elu { alpha } => check_parameter("elu: alpha", alpha, alpha >= 0.0, ">= 0"),
            Self::Sine { frequency } => check_parameter("sine: frequency", frequency, frequency != 0.0, "other than 0"),
            Self::Prelu { initial_slope } => {
                check_parameter("prelu: initial_slope", initial_slope, true, "that f32 can hold")
            }
            Self::Custom(custom) => custom.check(),
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
            | Self::Softmax => Ok(()),
        }
    }

    /// Returns the WGSL source of the activation and its derivative, with the functions that they call.
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

/// Returns an error unless the parameter is a finite f32 and in its range, which `range` describes.
fn check_parameter(name: &'static str, value: f64, is_in_range: bool, range: &str) -> Result<()> {
    if is_in_range && (value as f32).is_finite() {
        return Ok(());
    }
    Err(Error::InvalidSetting { name, expected: format!("a finite number {range}"), got: value.to_string() })
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let Some(parameter) = self.parameter() {
            write!(f, "({parameter})")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Activation {
    type Err = Error;

    /// Parses a name with or without a parameter, for example `leaky_relu` or `leaky_relu(0.2)`. Without a parameter it
    /// uses the default of PyTorch.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the name is unknown, or if the parameter is not a number or not allowed.
    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::ALL, &[Self::Prelu { initial_slope: 0.25 }, Self::Softmax]].concat();
        parse("activation", text, &all, Self::name, Self::with_parameter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_displayed_texts_parse_back() {
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
