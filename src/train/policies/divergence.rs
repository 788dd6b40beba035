//! The reaction of a training loop to a diverged loss.

use crate::error::{Error, Result};

/// The reaction of a training loop to a loss that is NaN or infinite.
///
/// With `Stop` and `Retry`, a snapshot on the device holds the parameters and the optimizer state of the best epoch so
/// far; see [`Trainer::snapshot`](crate::train::Trainer::snapshot). The loop restores it after a divergence.
///
/// The best epoch is the one that early stopping restores. Without early stopping it is the epoch with the lowest
/// validation loss, or the lowest training loss without a validation set. Before the end of the first epoch the
/// snapshot holds the initial state.
///
/// The history does not contain the epoch that diverged. The position in the data set is not reset.
#[doc(alias = "TerminateOnNaN")]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum DivergencePolicy {
    /// Return [`Error::Diverged`] and leave the diverged parameters in the trainer, for inspection.
    #[default]
    Fail,
    /// End the training with the best epoch. The history has
    /// [`StopReason::Diverged`](crate::train::StopReason::Diverged).
    Stop,
    /// Continue from the best epoch with a smaller learning rate.
    Retry {
        /// The factor in `(0, 1)` by which each retry multiplies the learning rate.
        factor: f64,
        /// The maximum number of retries in one run of the loop. The next divergence is an error.
        max_retries: usize,
    },
}

impl DivergencePolicy {
    /// Returns an error unless the factor of a retry is in `(0, 1)`.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Retry { factor, .. } if !(factor > 0.0 && factor < 1.0) => {
                let (expected, got) = ("a number in (0, 1)".to_owned(), factor.to_string());
                Err(Error::InvalidSetting { name: "DivergencePolicy::Retry::factor", expected, got })
            }
            Self::Fail | Self::Stop | Self::Retry { .. } => Ok(()),
        }
    }
}
