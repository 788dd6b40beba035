//! Early stopping: the end of a training run whose monitored metric does not improve.

use crate::{
    error::{Error, Result},
    train::{history::Epoch, policies::monitor::Monitor},
};

/// Early stopping: ends a training run if the monitored metric does not improve.
#[doc(alias = "patience")]
#[doc(alias = "restore_best_weights")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    /// The monitored metric.
    pub monitor: Monitor,
    /// The number of epochs without improvement after which the training ends. 0 counts as 1.
    pub patience: usize,
    /// The minimum improvement: an epoch is better than the best epoch only if the metric improves by more than this.
    pub min_delta: f64,
    /// Whether to restore the parameters and the optimizer state of the best epoch at the end.
    ///
    /// Until then a snapshot on the device holds them; see [`Trainer::snapshot`](crate::train::Trainer::snapshot).
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    /// Returns early stopping on the validation loss with a patience of 10 epochs. Every improvement counts, and the
    /// best epoch is restored.
    fn default() -> Self {
        Self { monitor: Monitor::ValidationLoss, patience: 10, min_delta: 0.0, restore_best: true }
    }
}

impl EarlyStopping {
    /// Returns an error unless `min_delta` is a finite number >= 0.
    pub(crate) fn check(&self) -> Result<()> {
        if self.min_delta.is_finite() && self.min_delta >= 0.0 {
            return Ok(());
        }
        let (expected, got) = ("a finite number >= 0".to_owned(), self.min_delta.to_string());
        Err(Error::InvalidSetting { name: "EarlyStopping::min_delta", expected, got })
    }
}

/// The decision of [`EarlyStopping`] after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EarlyStoppingDecision {
    /// Whether the epoch is the best so far.
    pub(crate) is_best: bool,
    /// Whether the training ends.
    pub(crate) stops: bool,
}

/// The state of [`EarlyStopping`] in one training.
#[derive(Debug, Clone)]
pub(crate) struct EarlyStoppingState {
    settings: EarlyStopping,
    best: Option<BestEpoch>,
}

/// The best epoch so far.
#[derive(Debug, Clone, Copy)]
struct BestEpoch {
    /// The index of the epoch, counted from 0.
    index: usize,
    /// The value of the monitored metric.
    value: f64,
}

impl EarlyStoppingState {
    pub(crate) const fn new(settings: EarlyStopping) -> Self {
        Self { settings, best: None }
    }

    /// Returns the index of the best epoch so far. `None` if no epoch had a finite value.
    pub(crate) fn best_epoch(&self) -> Option<usize> {
        self.best.map(|best| best.index)
    }

    /// Returns whether the best epoch is restored at the end.
    pub(crate) const fn restores_best(&self) -> bool {
        self.settings.restore_best
    }

    /// Observes the last epoch, whose index is `index`, and decides.
    pub(crate) fn observe(&mut self, index: usize, epoch: &Epoch) -> Result<EarlyStoppingDecision> {
        let EarlyStopping { monitor, patience, min_delta, .. } = self.settings;
        let value = monitor.value(epoch)?;
        let is_best = match self.best {
            // A value that is not finite is never the best, as in PyTorch.
            None => value.is_finite(),
            Some(best) if monitor.is_minimized() => value < best.value - min_delta,
            Some(best) => value > best.value + min_delta,
        };
        if is_best {
            self.best = Some(BestEpoch { index, value });
        }
        let epochs_without_improvement = self.best.map_or(index + 1, |best| index - best.index);
        let stops = epochs_without_improvement >= patience.max(1);
        Ok(EarlyStoppingDecision { is_best, stops })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the index of the epoch that stops the training, and the index of the best epoch. The accuracy of each
    /// epoch is the negative loss.
    fn stop_and_best(settings: EarlyStopping, losses: &[f64]) -> (Option<usize>, Option<usize>) {
        let mut state = EarlyStoppingState::new(settings);
        let mut stop = None;
        for (index, loss) in losses.iter().enumerate() {
            let (loss, accuracy) = (*loss, Some(-loss));
            let epoch = Epoch { steps: 1, loss, accuracy, validation: None, learning_rate: 0.1, seconds: 0.0 };
            if state.observe(index, &epoch).unwrap().stops {
                stop = Some(index);
                break;
            }
        }
        (stop, state.best_epoch())
    }

    #[test]
    fn training_stops_after_patience_epochs_without_improvement() {
        let loss = EarlyStopping { monitor: Monitor::TrainingLoss, patience: 2, ..EarlyStopping::default() };
        for settings in [loss, EarlyStopping { monitor: Monitor::TrainingAccuracy, ..loss }] {
            assert_eq!(stop_and_best(settings, &[3.0, 2.0, 1.0, 0.5]), (None, Some(3)));
            assert_eq!(stop_and_best(settings, &[3.0, 2.0, 2.0, 2.0, 1.0]), (Some(3), Some(1)));
            assert_eq!(stop_and_best(settings, &[3.0, 2.0, 2.5, 1.0, 1.5, 1.5]), (Some(5), Some(3)));
            // NaN is never the best.
            assert_eq!(stop_and_best(settings, &[f64::NAN, 2.0, f64::NAN, f64::NAN]), (Some(3), Some(1)));
            assert_eq!(stop_and_best(settings, &[f64::NAN, f64::NAN, 2.0]), (Some(1), None));
            // Improvements below `min_delta` add up, because each epoch is compared with the best one.
            let with_delta = EarlyStopping { min_delta: 0.25, patience: 3, ..settings };
            assert_eq!(stop_and_best(with_delta, &[1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), (None, Some(6)));
            assert_eq!(stop_and_best(with_delta, &[1.0, 0.95, 0.9, 0.85, 0.8]), (Some(3), Some(0)));
        }
        let without_patience = EarlyStopping { patience: 0, ..loss };
        assert_eq!(stop_and_best(without_patience, &[3.0, 2.0, 2.0]), (Some(2), Some(1)), "0 counts as 1");
    }

    #[test]
    fn invalid_min_delta_returns_an_error() {
        assert_eq!(EarlyStopping::default().check(), Ok(()));
        for min_delta in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(EarlyStopping { min_delta, ..EarlyStopping::default() }.check().is_err(), "{min_delta}");
        }
    }
}
