//! Initial parameters from a seed: the same bits on every platform.

use crate::{nn::activation::Activation, util::rng::Rng};

/// From which distribution a layer's first weights or biases are drawn. `inputs` and `outputs` are the layer's.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// All 0: the default for biases.
    Zeros,
    /// Uniform within `sqrt(6 / (inputs + outputs))` (Glorot and Bengio 2010).
    GlorotUniform,
    /// Normal with variance `2 / (inputs + outputs)` (Glorot and Bengio 2010).
    GlorotNormal,
    /// Uniform within `sqrt(6 / inputs)` (He et al. 2015).
    HeUniform,
    /// Normal with variance `2 / inputs` (He et al. 2015).
    HeNormal,
    /// Uniform within `sqrt(3 / inputs)` (LeCun et al. 1998).
    LecunUniform,
    /// Normal with variance `1 / inputs` (LeCun et al. 1998).
    LecunNormal,
    /// For networks of sines of that frequency (Sitzmann et al. 2020, section 3.2 and supplement 1.5, as their code has it):
    /// uniform within `1 / inputs` in the first layer of a network, and within `sqrt(6 / inputs) / frequency` in every other
    /// one, the linear layer at the end included.
    ///
    /// It sets weights. Biases start at 0 unless they are set; the paper does not say how they start, and its code leaves
    /// PyTorch's default, `Uniform` within `1 / sqrt(inputs)`.
    /// ```
    /// # use gradus::{Activation, Init, Network};
    /// let sine = Activation::Sine { frequency: 30.0 };
    /// // The default of networks with sines, and the same by its name.
    /// let network = Network::new(2).dense(64, sine).dense(64, sine).dense(1, Activation::Identity);
    /// assert_eq!(network.clone().init(Init::Siren { frequency: 30.0 }, Init::Zeros), network);
    /// ```
    Siren {
        /// That of the sines.
        frequency: f64,
    },
    /// Normal around 0.
    Normal {
        /// The standard deviation.
        std: f64,
    },
    /// Uniform around 0.
    Uniform {
        /// The largest absolute value.
        limit: f64,
    },
}

impl Init {
    /// One of each, for tests to walk.
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

    /// The weights' distribution where none was asked for: He's uniform before a relu and what resembles it, LeCun's
    /// normal before a selu, a sine's own, Glorot's uniform before the others. [`Network::dense`](crate::nn::Network::dense) uses
    /// [`Init::Siren`] instead of Glorot's in a layer that follows a sine.
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

    /// The default for a layer with this activation that follows one with `before`, if there is one.
    pub(crate) const fn default_after(before: Option<Activation>, activation: Activation) -> Self {
        let own = Self::default_for(activation);
        if let (Some(Activation::Sine { frequency }), Self::GlorotUniform) = (before, own) {
            return Self::Siren { frequency };
        }
        own
    }

    /// What it is in the first layer of a network, which has so many inputs.
    pub(crate) fn for_first_layer(self, inputs: usize) -> Self {
        if let Self::Siren { .. } = self { Self::Uniform { limit: 1.0 / inputs as f64 } } else { self }
    }

    /// The standard deviation of what is drawn for a layer of `inputs` and `outputs`; of [`Init::Siren`], for a layer that is
    /// not the first.
    pub fn std(self, inputs: usize, outputs: usize) -> f64 {
        let (inputs, outputs) = (inputs as f64, outputs as f64);
        match self {
            Self::Zeros => 0.0,
            Self::GlorotUniform | Self::GlorotNormal => libm::sqrt(2.0 / (inputs + outputs)),
            Self::HeUniform | Self::HeNormal => libm::sqrt(2.0 / inputs),
            Self::LecunUniform | Self::LecunNormal => libm::sqrt(1.0 / inputs),
            Self::Siren { frequency } => libm::sqrt(2.0 / inputs) / frequency.abs(),
            Self::Normal { std: deviation } => deviation,
            Self::Uniform { limit } => limit / libm::sqrt(3.0),
        }
    }

    /// Fills `values` with draws for a layer of `inputs` and `outputs`.
    pub(crate) fn fill(self, draws: &mut Rng, inputs: usize, outputs: usize, values: &mut [f32]) {
        let deviation = self.std(inputs, outputs);
        match self {
            Self::Zeros => values.fill(0.0),
            Self::GlorotNormal | Self::HeNormal | Self::LecunNormal | Self::Normal { .. } => {
                values.fill_with(|| (deviation * draws.normal()) as f32);
            }
            Self::GlorotUniform | Self::HeUniform | Self::LecunUniform | Self::Siren { .. } | Self::Uniform { .. } => {
                let limit = deviation * libm::sqrt(3.0);
                values.fill_with(|| (limit * draws.uniform()) as f32);
            }
        }
    }
}
