//! Initializers: the distributions of the initial parameters. A seed gives the same bits on every platform.

use crate::{nn::activation::Activation, util::rng::Rng};

/// An initializer: the distribution of the initial weights or biases of a layer with `inputs` inputs and `outputs`
/// neurons.
///
/// Names such as `xavier_uniform_` refer to `torch.nn.init`.
#[doc(alias = "initializer")]
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// All values 0, the default for biases (`zeros_`).
    Zeros,
    /// The uniform distribution in `±sqrt(6 / (inputs + outputs))` (Glorot and Bengio 2010; `xavier_uniform_`).
    #[doc(alias = "xavier_uniform")]
    GlorotUniform,
    /// The normal distribution with mean 0 and variance `2 / (inputs + outputs)` (Glorot and Bengio 2010;
    /// `xavier_normal_`).
    #[doc(alias = "xavier_normal")]
    GlorotNormal,
    /// The uniform distribution in `±sqrt(6 / inputs)` (He et al. 2015; `kaiming_uniform_`).
    #[doc(alias = "kaiming_uniform")]
    HeUniform,
    /// The normal distribution with mean 0 and variance `2 / inputs` (He et al. 2015; `kaiming_normal_`).
    #[doc(alias = "kaiming_normal")]
    HeNormal,
    /// The uniform distribution in `±sqrt(3 / inputs)` (LeCun et al. 1998; Keras `LecunUniform`).
    LecunUniform,
    /// The normal distribution with mean 0 and variance `1 / inputs` (LeCun et al. 1998; Keras `LecunNormal`).
    LecunNormal,
    /// The initializer for networks of sines (Sitzmann et al. 2020, section 3.2 and supplement 1.5, as in their code).
    ///
    /// The weights of the first layer of a network are uniform in `±1 / inputs`. The weights of every other layer,
    /// including the linear output layer, are uniform in `±sqrt(6 / inputs) / frequency`.
    ///
    /// It is meant for weights. The paper does not specify the biases; its code uses PyTorch's default, which is
    /// [`Init::Uniform`] with the limit `1 / sqrt(inputs)`. gradus sets biases to 0 by default.
    /// ```
    /// # use gradus::{Activation, Init, Network};
    /// let sine = Activation::Sine { frequency: 30.0 };
    /// // Init::Siren is the default for networks with sines.
    /// let network = Network::new(2).dense(64, sine).dense(64, sine).dense(1, Activation::Identity);
    /// assert_eq!(network.clone().init(Init::Siren { frequency: 30.0 }, Init::Zeros), network);
    /// ```
    Siren {
        /// The frequency of the sines; see [`Activation::Sine`].
        frequency: f64,
    },
    /// The normal distribution with mean 0 (`normal_`).
    Normal {
        /// The standard deviation: a finite number >= 0.
        std: f64,
    },
    /// The uniform distribution in `±limit` (`uniform_`).
    Uniform {
        /// The maximum absolute value: a finite number >= 0.
        limit: f64,
    },
}

impl Init {
    /// One value of every variant, for tests.
    #[doc(hidden)]
    pub const ALL: &[Self] = &[
        Self::Zeros,
        Self::GlorotUniform,
        Self::GlorotNormal,
        Self::HeUniform,
        Self::HeNormal,
        Self::LecunUniform,
        Self::LecunNormal,
        Self::Siren { frequency: 30.0 },
        Self::Normal { std: 1.0 },
        Self::Uniform { limit: 0.05 },
    ];

    /// Returns the default initializer of the weights for a layer with this activation.
    ///
    /// It is [`Init::HeUniform`] for ReLU and similar activations, [`Init::LecunNormal`] for SELU, [`Init::Siren`] for
    /// a sine, and [`Init::GlorotUniform`] for all others. In a layer after a sine,
    /// [`Network::dense`](crate::nn::Network::dense) uses [`Init::Siren`] instead of [`Init::GlorotUniform`].
    pub const fn default_for(activation: Activation) -> Self {
        match activation {
            Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Prelu { .. }
            | Activation::Elu { .. }
            | Activation::Gelu
            | Activation::GeluTanh
            | Activation::Silu
            | Activation::Mish
            | Activation::Softplus => Self::HeUniform,
            Activation::Selu => Self::LecunNormal,
            Activation::Sine { frequency } => Self::Siren { frequency },
            Activation::Identity
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Softsign
            | Activation::HardSigmoid
            | Activation::HardTanh
            | Activation::Gaussian
            | Activation::Softmax
            | Activation::Custom(_) => Self::GlorotUniform,
        }
    }

    /// Returns the default initializer of the weights for a layer after a layer with the activation `previous`.
    pub(crate) const fn default_after(previous: Option<Activation>, activation: Activation) -> Self {
        let default = Self::default_for(activation);
        if let (Some(Activation::Sine { frequency }), Self::GlorotUniform) = (previous, default) {
            return Self::Siren { frequency };
        }
        default
    }

    /// Returns the initializer for the first layer of a network, which differs for [`Init::Siren`].
    pub(crate) fn for_first_layer(self, inputs: usize) -> Self {
        if let Self::Siren { .. } = self { Self::Uniform { limit: 1.0 / inputs as f64 } } else { self }
    }

    /// Returns the standard deviation of the values for a layer with `inputs` inputs and `outputs` neurons.
    ///
    /// For [`Init::Siren`] it holds for every layer except the first.
    pub fn std(self, inputs: usize, outputs: usize) -> f64 {
        let (inputs, outputs) = (inputs as f64, outputs as f64);
        match self {
            Self::Zeros => 0.0,
            Self::GlorotUniform | Self::GlorotNormal => libm::sqrt(2.0 / (inputs + outputs)),
            Self::HeUniform | Self::HeNormal => libm::sqrt(2.0 / inputs),
            Self::LecunUniform | Self::LecunNormal => libm::sqrt(1.0 / inputs),
            Self::Siren { frequency } => libm::sqrt(2.0 / inputs) / frequency.abs(),
            Self::Normal { std } => std,
            Self::Uniform { limit } => limit / libm::sqrt(3.0),
        }
    }

    /// Fills `values` with random values for a layer with `inputs` inputs and `outputs` neurons.
    pub(crate) fn fill(self, rng: &mut Rng, inputs: usize, outputs: usize, values: &mut [f32]) {
        let std = self.std(inputs, outputs);
        match self {
            Self::Zeros => values.fill(0.0),
            Self::GlorotNormal | Self::HeNormal | Self::LecunNormal | Self::Normal { .. } => {
                values.fill_with(|| (std * rng.normal()) as f32);
            }
            Self::GlorotUniform | Self::HeUniform | Self::LecunUniform | Self::Siren { .. } | Self::Uniform { .. } => {
                // A uniform distribution in ±limit has the standard deviation limit / sqrt(3).
                let limit = std * libm::sqrt(3.0);
                values.fill_with(|| (limit * rng.uniform()) as f32);
            }
        }
    }
}
