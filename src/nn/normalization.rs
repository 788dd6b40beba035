//! Normalization of the pre-activations of a layer.

use crate::error::{Error, Result};

/// The normalization of the pre-activations `z` of a layer, before its activation.
///
/// It computes `gamma (z - mean) / sqrt(variance + 1e-5) + beta`. Each neuron has a trained `gamma`, initially 1, and a
/// trained `beta`, initially 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Normalization {
    /// Layer normalization: mean and variance over the neurons of the layer, for each row (Ba et al. 2016;
    /// `nn.LayerNorm` in PyTorch).
    #[doc(alias = "LayerNorm")]
    Layer,
    /// Batch normalization: mean and variance over the rows of the batch, for each neuron (Ioffe and Szegedy 2015;
    /// `nn.BatchNorm1d` in PyTorch).
    ///
    /// Predictions use running statistics, initially mean 0 and variance 1. Every training step moves them by 0.1 of
    /// the difference to the mean and the unbiased variance of the batch.
    ///
    /// A training batch needs at least two rows. Creating a trainer fails if the batch size is 1, or if the last batch
    /// of an epoch has one row and [`TrainerSettings::drop_last`](crate::train::TrainerSettings::drop_last) is not set.
    /// A manual step on one row fails too.
    #[doc(alias = "BatchNorm1d")]
    Batch,
}

impl Normalization {
    /// All variants, for tests.
    #[doc(hidden)]
    pub const ALL: &[Self] = &[Self::Layer, Self::Batch];

    /// Returns the name that files use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Batch => "batch",
        }
    }
}

/// Returns [`Error::InvalidSetting`] if a batch has too few rows for batch normalization. With one row, all normalized
/// values would be 0.
pub(crate) fn check_batch_size(rows: usize) -> Result<()> {
    if rows > 1 {
        return Ok(());
    }
    let expected = "at least 2 for batch normalization".to_owned();
    let got = format!("{rows}; use a larger batch or layer normalization");
    Err(Error::InvalidSetting { name: "rows of a batch", expected, got })
}

/// The constant that keeps a normalization from dividing by 0.
pub(crate) const EPSILON: f64 = 1e-5;
/// The fraction by which running statistics move toward the statistics of a batch.
pub(crate) const MOMENTUM: f64 = 0.1;
