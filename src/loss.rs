//! The losses: each an arm here and a file in `shaders/loss/`.

use crate::{Activation, Error, Result};

/// How far the network's outputs are from the expected ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// Mean squared error: `(y - t)^2`, the mean over the batch and the outputs.
    Mse,
    /// Binary cross-entropy of sigmoid outputs: `-t ln y - (1 - t) ln(1 - y)`, the mean over the batch and the outputs.
    /// The output layer has to be a sigmoid: its slope cancels, and `dLoss/dz` is `y - t`. The loss of an output that is
    /// wrong beyond what f32 can tell from 0 or 1 is 87.3, as PyTorch's is 100; its gradient is right.
    BinaryCrossEntropy,
    /// Softmax and cross-entropy in one, on logits: `ln(sum e^y) - y[class]`, the mean over the batch.
    /// The output layer has to be the identity.
    SoftmaxCrossEntropy,
}

impl Loss {
    /// Every loss, for tests and benches to walk.
    pub const ALL: &[Self] = &[Self::Mse, Self::BinaryCrossEntropy, Self::SoftmaxCrossEntropy];

    /// The name, as it stands in files and as its WGSL function is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::BinaryCrossEntropy => "binary_cross_entropy",
            Self::SoftmaxCrossEntropy => "softmax_cross_entropy",
        }
    }

    /// The activation that the output layer has to have, where the loss demands one.
    pub const fn output_activation(self) -> Option<Activation> {
        match self {
            Self::Mse => None,
            Self::BinaryCrossEntropy => Some(Activation::Sigmoid),
            Self::SoftmaxCrossEntropy => Some(Activation::Identity),
        }
    }

    /// The loss of one output `y` against the expected `t`, before the mean. `normalizer` is `ln(sum e^y)` of the whole
    /// row, which only softmax looks at.
    pub fn apply(self, y: f64, t: f64, normalizer: f64) -> f64 {
        // The logarithm of the smallest normal f32, which is where the kernels have to stop.
        let least = f64::from(f32::MIN_POSITIVE);
        let ln = |x: f64| if x < least { least.ln() } else { x.ln() };
        match self {
            Self::Mse => (y - t) * (y - t),
            Self::BinaryCrossEntropy => -(t * ln(y) + (1.0 - t) * ln(1.0 - y)),
            Self::SoftmaxCrossEntropy => t * (normalizer - y),
        }
    }

    /// The derivative of [`Loss::apply`], before the mean: by `y` for the mean squared error, by the output layer's `z`
    /// where the loss demands the activation ([`Loss::output_activation`]).
    pub fn gradient(self, y: f64, t: f64, normalizer: f64) -> f64 {
        match self {
            Self::Mse => 2.0 * (y - t),
            Self::BinaryCrossEntropy => y - t,
            Self::SoftmaxCrossEntropy => (y - normalizer).exp() - t,
        }
    }

    /// Whether it looks at the whole row of outputs, so that its delta needs a dispatch of its own.
    pub(crate) const fn looks_at_the_row(self) -> bool {
        matches!(self, Self::SoftmaxCrossEntropy)
    }

    /// Over how many numbers the mean goes, for a batch of `rows`.
    pub const fn mean_over(self, rows: usize, outputs: usize) -> usize {
        match self {
            Self::Mse | Self::BinaryCrossEntropy => rows * outputs,
            Self::SoftmaxCrossEntropy => rows,
        }
    }

    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Mse => include_str!("../shaders/loss/mse.wgsl"),
            Self::BinaryCrossEntropy => include_str!("../shaders/loss/binary_cross_entropy.wgsl"),
            Self::SoftmaxCrossEntropy => include_str!("../shaders/loss/softmax_cross_entropy.wgsl"),
        }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Loss {
    type Err = Error;

    /// The member of that name.
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|member| member.name() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|member| member.name()).collect();
            Error::Setting { what: "loss", expected: names.join(", "), got: name.to_owned() }
        })
    }
}
