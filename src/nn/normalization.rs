//! Normalisation of a layer's sums, between the sum and the activation.

use crate::error::{Error, Result};

/// Over what a layer's sums `z` are normalised: `y = gain (z - mean) / sqrt(variance + 1e-5) + shift`, with a gain and a
/// shift for each neuron, which are learned and start as 1 and 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Normalization {
    /// Over the neurons of a layer, row by row (Ba et al. 2016; PyTorch's `LayerNorm`).
    Layer,
    /// Over the rows of a batch, neuron by neuron (Ioffe and Szegedy 2015; PyTorch's `BatchNorm1d`). Predictions take
    /// running statistics, which start as mean 0 and variance 1 and move by a tenth towards those of each batch, of the
    /// variance the unbiased one. A training batch has at least two rows: a batch size of 1, or a last batch of one row without
    /// [`TrainerSettings::drop_last`](crate::train::TrainerSettings::drop_last), is an error when the trainer is made, and a step by hand on one
    /// row is an error of that step.
    Batch,
}

impl Normalization {
    /// Each, for tests to walk.
    pub const ALL: &[Self] = &[Self::Layer, Self::Batch];

    /// The name, as it stands in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Batch => "batch",
        }
    }
}

/// Refuses a batch of so few rows that batch normalization has nothing to normalize: of one row every normalized value is 0.
pub(crate) fn check_batch_size(rows: usize) -> Result<()> {
    if rows > 1 {
        return Ok(());
    }
    let expected = "at least 2 for batch normalization; choose a larger batch or layer normalization".to_owned();
    Err(Error::InvalidSetting { name: "rows of a batch", expected, got: rows.to_string() })
}

/// What keeps a norm from dividing by 0.
pub(crate) const EPSILON: f64 = 1e-5;
/// How far running statistics move towards those of a batch.
pub(crate) const MOMENTUM: f64 = 0.1;
