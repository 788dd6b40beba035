//! The metric that a policy monitors from epoch to epoch.

use std::fmt;

use crate::{
    data::dataset::Targets,
    error::{Error, Result},
    metrics::Metrics,
    nn::{loss::Loss, network::Network, task::Task},
    train::history::Epoch,
};

/// The metric that early stopping and learning-rate reduction monitor from epoch to epoch.
#[doc(alias = "val_loss")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// Validation loss; lower is better.
    ValidationLoss,
    /// Validation accuracy; higher is better.
    ValidationAccuracy,
    /// Validation r²; higher is better.
    ValidationR2,
    /// Training loss; lower is better. It is the mean over the rows of the epoch, each before the update by its batch.
    TrainingLoss,
    /// Training accuracy; higher is better. Each row of the epoch is evaluated before the update by its batch.
    TrainingAccuracy,
}

impl Monitor {
    /// Returns whether a lower value is better.
    pub(crate) const fn is_minimized(self) -> bool {
        match self {
            Self::ValidationLoss | Self::TrainingLoss => true,
            Self::ValidationAccuracy | Self::ValidationR2 | Self::TrainingAccuracy => false,
        }
    }

    /// Returns whether the metric needs a validation set.
    pub(crate) const fn needs_validation(self) -> bool {
        match self {
            Self::ValidationLoss | Self::ValidationAccuracy | Self::ValidationR2 => true,
            Self::TrainingLoss | Self::TrainingAccuracy => false,
        }
    }

    /// Checks that the metric exists for a network with this loss and these targets. A regression has no accuracy, and
    /// class ids have no r².
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the metric does not exist.
    pub(crate) fn check_for(
        self,
        network: &Network,
        loss: Loss,
        training_targets: Option<&Targets>,
        validation_targets: Option<&Targets>,
    ) -> Result<()> {
        let training_task = Task::from_targets(network, loss, training_targets);
        let exists = match self {
            Self::ValidationLoss | Self::TrainingLoss => true,
            Self::TrainingAccuracy => training_task.has_accuracy(),
            Self::ValidationAccuracy => match validation_targets {
                Some(targets) => training_task.for_evaluation(network, loss, targets).has_accuracy(),
                None => training_task.has_accuracy(),
            },
            Self::ValidationR2 => matches!(validation_targets, Some(Targets::Values(_))),
        };
        if exists { Ok(()) } else { Err(self.missing_metric()) }
    }

    fn missing_metric(self) -> Error {
        Error::InvalidSetting {
            name: "monitor",
            expected: "a metric that the network and its data have".into(),
            got: format!("{self}; a regression has no accuracy, and class ids have no r2"),
        }
    }

    /// Returns the value of the metric after an epoch.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the epoch has no such metric.
    pub(crate) fn value(self, epoch: &Epoch) -> Result<f64> {
        let value = match self {
            Self::TrainingLoss => Some(epoch.loss),
            Self::TrainingAccuracy => epoch.accuracy.map(|accuracy| nan_unless_finite(epoch.loss, accuracy)),
            Self::ValidationLoss | Self::ValidationAccuracy | Self::ValidationR2 => {
                epoch.validation.as_ref().and_then(|metrics| self.validation_value(metrics))
            }
        };
        value.ok_or_else(|| self.missing_metric())
    }

    /// Returns the value of the metric on a validation set, or `None` for a training metric.
    pub(crate) fn validation_value(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::ValidationLoss => Some(metrics.loss()),
            Self::ValidationAccuracy => metrics.accuracy().map(|accuracy| nan_unless_finite(metrics.loss(), accuracy)),
            Self::ValidationR2 => metrics.r2().map(|r2| nan_unless_finite(metrics.loss(), r2)),
            Self::TrainingLoss | Self::TrainingAccuracy => None,
        }
    }
}

/// Returns `metric`, or NaN if the loss is not finite. A network whose outputs are NaN predicts the first class, so its
/// accuracy can be high although the training diverged.
const fn nan_unless_finite(loss: f64, metric: f64) -> f64 {
    if loss.is_finite() { metric } else { f64::NAN }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ValidationLoss => "validation loss",
            Self::ValidationAccuracy => "validation accuracy",
            Self::ValidationR2 => "validation r2",
            Self::TrainingLoss => "training loss",
            Self::TrainingAccuracy => "training accuracy",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(loss: f64, accuracy: Option<f64>) -> Epoch {
        Epoch { steps: 1, loss, accuracy, validation: None, learning_rate: 0.1, seconds: 0.0 }
    }

    #[test]
    fn accuracy_is_nan_if_the_loss_is_not_finite() {
        let monitor = Monitor::TrainingAccuracy;
        for loss in [f64::NAN, f64::INFINITY] {
            assert!(monitor.value(&epoch(loss, Some(0.9))).unwrap().is_nan());
        }
        assert_eq!(monitor.value(&epoch(1.0, Some(0.9))), Ok(0.9));
    }

    #[test]
    fn missing_metric_returns_an_error() {
        for monitor in [Monitor::ValidationLoss, Monitor::ValidationR2, Monitor::TrainingAccuracy] {
            let message = monitor.value(&epoch(1.0, None)).unwrap_err().to_string();
            let expected = "monitor: expected a metric that the network and its data have, got ";
            let hint = "; a regression has no accuracy, and class ids have no r2";
            assert_eq!(message, format!("{expected}{monitor}{hint}"));
        }
    }
}
