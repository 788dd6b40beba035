//! The reduction of the learning rate when the monitored metric does not improve.

use crate::{
    error::{Error, Result},
    train::{history::Epoch, policies::monitor::Monitor},
};

/// Reduces the learning rate when the monitored metric does not improve, like PyTorch's `ReduceLROnPlateau`.
///
/// The fields and their defaults are those of PyTorch. The schedule still multiplies the reduced learning rate.
#[doc(alias = "ReduceLROnPlateau")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceOnPlateau {
    /// The monitored metric.
    pub monitor: Monitor,
    /// The factor in `[0, 1)` by which each reduction multiplies the learning rate.
    pub factor: f64,
    /// The number of epochs without improvement that do not reduce the learning rate yet.
    pub patience: usize,
    /// The minimum relative improvement over the best epoch: a loss improves below `best * (1 - threshold)`, an
    /// accuracy above `best * (1 + threshold)`.
    pub threshold: f64,
    /// The number of epochs after a reduction that do not count toward the patience.
    pub cooldown: usize,
    /// The minimum learning rate.
    #[doc(alias = "min_lr")]
    pub min_learning_rate: f64,
}

impl Default for ReduceOnPlateau {
    /// Returns a reduction to one tenth after more than 10 epochs in which the validation loss did not improve by
    /// 0.01%.
    fn default() -> Self {
        let monitor = Monitor::ValidationLoss;
        Self { monitor, factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_learning_rate: 0.0 }
    }
}

/// The minimum change of the learning rate; a smaller reduction is not applied. PyTorch calls it `eps`.
const MIN_CHANGE: f64 = 1e-8;

impl ReduceOnPlateau {
    /// Returns an error if a field is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            let (expected, got) = ("a number in [0, 1)".to_owned(), self.factor.to_string());
            return Err(Error::InvalidSetting { name: "ReduceOnPlateau::factor", expected, got });
        }
        check_not_negative("ReduceOnPlateau::threshold", self.threshold)?;
        check_not_negative("ReduceOnPlateau::min_learning_rate", self.min_learning_rate)
    }

    /// Returns the reduced learning rate.
    pub(crate) fn reduce(&self, learning_rate: f64) -> f64 {
        let reduced = (learning_rate * self.factor).max(self.min_learning_rate);
        if learning_rate - reduced > MIN_CHANGE { reduced } else { learning_rate }
    }
}

fn check_not_negative(name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::InvalidSetting { name, expected: "a finite number >= 0".into(), got: value.to_string() })
}

/// The state of [`ReduceOnPlateau`] in one training.
#[derive(Debug, Clone)]
pub(crate) struct PlateauState {
    settings: ReduceOnPlateau,
    /// The best value of the monitored metric so far.
    best: Option<f64>,
    epochs_without_improvement: usize,
    /// The remaining epochs of the cooldown.
    cooldown_left: usize,
}

impl PlateauState {
    pub(crate) const fn new(settings: ReduceOnPlateau) -> Self {
        Self { settings, best: None, epochs_without_improvement: 0, cooldown_left: 0 }
    }

    /// Observes the last epoch, and returns whether to reduce the learning rate.
    pub(crate) fn observe(&mut self, epoch: &Epoch) -> Result<bool> {
        let ReduceOnPlateau { monitor, patience, threshold, cooldown, .. } = self.settings;
        let value = monitor.value(epoch)?;
        let is_better = match self.best {
            None => value.is_finite(),
            Some(best) if monitor.is_minimized() => value < best * (1.0 - threshold),
            Some(best) => value > best * (1.0 + threshold),
        };
        if is_better {
            self.best = Some(value);
            self.epochs_without_improvement = 0;
        } else {
            self.epochs_without_improvement += 1;
        }
        if self.cooldown_left > 0 {
            self.cooldown_left -= 1;
            self.epochs_without_improvement = 0;
        }
        let reduces = self.epochs_without_improvement > patience;
        if reduces {
            self.cooldown_left = cooldown;
            self.epochs_without_improvement = 0;
        }
        Ok(reduces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the learning rate after each of these losses and accuracies. The first learning rate is 1.
    fn reduced_rates(settings: &ReduceOnPlateau, values: &[f64]) -> Vec<f64> {
        let mut state = PlateauState::new(*settings);
        let mut learning_rate = 1.0;
        let mut rates = Vec::new();
        for value in values {
            let (loss, accuracy) = (*value, Some(*value));
            let epoch = Epoch { steps: 1, loss, accuracy, validation: None, learning_rate: 0.1, seconds: 0.0 };
            if state.observe(&epoch).unwrap() {
                learning_rate = settings.reduce(learning_rate);
            }
            rates.push(learning_rate);
        }
        rates
    }

    /// The expected values are from PyTorch 2: `ReduceLROnPlateau(SGD([p], 1.0), ...)`.
    #[test]
    fn learning_rates_match_pytorch() {
        let monitor = Monitor::TrainingLoss;
        let settings = ReduceOnPlateau { monitor, patience: 2, ..ReduceOnPlateau::default() };
        let flat = [1.0; 8];
        assert_eq!(reduced_rates(&settings, &flat), [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1]);
        // Neither an improvement below the threshold nor NaN is an improvement.
        assert_eq!(
            reduced_rates(&settings, &[1.0, 0.99995, f64::NAN, 0.99991, 0.5, 0.6, 0.6, 0.6]),
            [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1 * 0.1]
        );
        // The epochs of the cooldown do not count.
        let settings = ReduceOnPlateau { patience: 0, cooldown: 2, factor: 0.5, min_learning_rate: 0.2, ..settings };
        let expected = [1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2];
        assert_eq!(reduced_rates(&settings, &[1.0; 12]), expected);
        let monitor = Monitor::TrainingAccuracy;
        let settings = ReduceOnPlateau { monitor, cooldown: 0, min_learning_rate: 0.0, ..settings };
        assert_eq!(reduced_rates(&settings, &[0.5, 0.6, 0.60003, 0.7, 0.6]), [1.0, 1.0, 0.5, 0.5, 0.25]);
        // A reduction below the minimum change is not applied.
        assert_eq!(settings.reduce(1.5e-8), 1.5e-8);
    }

    #[test]
    fn settings_out_of_range_return_an_error() {
        let settings = ReduceOnPlateau::default();
        assert_eq!(settings.check(), Ok(()));
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(ReduceOnPlateau { factor: value, ..settings }.check().is_err(), "{value}");
            assert!(ReduceOnPlateau { threshold: value, ..settings }.check().is_err(), "{value}");
            assert!(ReduceOnPlateau { min_learning_rate: value, ..settings }.check().is_err(), "{value}");
        }
        assert!(ReduceOnPlateau { factor: 1.0, ..settings }.check().is_err());
    }
}
