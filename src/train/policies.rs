//! What decides after an epoch whether training goes on, and at which rate.

use std::fmt;

use crate::{
    data::dataset::Targets,
    error::{Error, Result},
    metrics::Metrics,
    nn::{loss::Loss, network::Network, task::Task},
    train::{history::Epoch, training_loop::TrainingLoop},
};

/// What is watched from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// The loss on the rows that validate: the smaller the better.
    ValidationLoss,
    /// The accuracy on the rows that validate: the larger the better.
    ValidationAccuracy,
    /// r² on the rows that validate: the larger the better.
    ValidationR2,
    /// The mean loss over the training rows, as each was met.
    TrainingLoss,
    /// The accuracy over the training rows, as each was met.
    TrainingAccuracy,
}

/// Ends a training that gets no better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    /// What is watched.
    pub monitor: Monitor,
    /// How many epochs may follow the best one.
    pub patience: usize,
    /// By how much more than the best an epoch has to be better, to be the best.
    pub min_delta: f64,
    /// Whether the network ends as it was after the best epoch, and the optimizer with it. Until then it is kept on the
    /// device ([`crate::train::Trainer::snapshot`]).
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    /// The validation's loss, a patience of 10 epochs, whatever change; the best is restored.
    fn default() -> Self {
        Self { monitor: Monitor::ValidationLoss, patience: 10, min_delta: 0.0, restore_best: true }
    }
}

/// Makes the learning rate smaller when a training gets no better (PyTorch's `ReduceLROnPlateau`, whose numbers these
/// are). A schedule goes on multiplying the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceOnPlateau {
    /// What is watched.
    pub monitor: Monitor,
    /// What is left of the rate, from 0 to below 1.
    pub factor: f64,
    /// How many epochs in a row may be no better.
    pub patience: usize,
    /// By which part of the best an epoch has to be better, to be the best: a loss below `best (1 - threshold)`, an accuracy
    /// above `best (1 + threshold)`.
    pub threshold: f64,
    /// For how many epochs after a smaller rate nothing is counted.
    pub cooldown: usize,
    /// The smallest rate.
    pub min_learning_rate: f64,
}

impl Default for ReduceOnPlateau {
    /// The validation's loss; a tenth after 10 epochs that are not better by a 10,000th.
    fn default() -> Self {
        let monitor = Monitor::ValidationLoss;
        Self { monitor, factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_learning_rate: 0.0 }
    }
}

/// What becomes of a training whose loss leaves the finite numbers.
///
/// Unless it fails, the parameters and the optimizer's state of the best epoch so far are kept on the device
/// ([`crate::train::Trainer::snapshot`]) and taken up again: those that early stopping restores, or else those after the lowest loss, of
/// the validation where there is one; before the first epoch, those at the start. The epoch that diverged is not in the
/// history, and the place in the data set stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum DivergencePolicy {
    /// [`Error::Diverged`]; the parameters stay as they are, which is of no use but to look at them.
    #[default]
    Fail,
    /// It ends with the best, and the history says [`StopReason::Diverged`](crate::train::StopReason::Diverged).
    Stop,
    /// It goes on from the best at a smaller rate.
    Retry {
        /// What is left of the learning rate, above 0 and below 1.
        factor: f64,
        /// How often in one call of the fit, before it fails.
        max_retries: usize,
    },
}

impl DivergencePolicy {
    /// # Errors
    /// [`Error::InvalidSetting`] for a factor that makes no smaller rate.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Retry { factor, .. } if !(factor > 0.0 && factor < 1.0) => Err(Error::InvalidSetting {
                name: "factor of the rate after a divergence",
                expected: "a number above 0 and below 1".into(),
                got: factor.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// PyTorch's `eps`: a rate that would change by less stays.
const MIN_CHANGE: f64 = 1e-8;

impl Monitor {
    /// Whether less is better.
    pub(crate) const fn is_minimized(self) -> bool {
        matches!(self, Self::ValidationLoss | Self::TrainingLoss)
    }

    /// Whether it looks at rows that validate.
    pub(crate) const fn needs_validation(self) -> bool {
        matches!(self, Self::ValidationLoss | Self::ValidationAccuracy | Self::ValidationR2)
    }

    /// Refuses a quantity that a network with this loss and these answers does not have: an accuracy in a regression, or r2 where
    /// the answers are classes. `training` are the answers of the rows that it learns from, `validation` those that validate.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]
    pub(crate) fn check_for(
        self,
        network: &Network,
        loss: Loss,
        training: Option<&Targets>,
        validation: Option<&Targets>,
    ) -> Result<()> {
        let learned = Task::from_targets(network, loss, training);
        let of_validation = |targets| learned.for_evaluation(network, loss, targets);
        let is_there = match self {
            Self::ValidationAccuracy => validation.map_or(learned, of_validation).has_accuracy(),
            Self::TrainingAccuracy => learned.has_accuracy(),
            Self::ValidationR2 => matches!(validation, Some(Targets::Values(_))),
            Self::ValidationLoss | Self::TrainingLoss => true,
        };
        if is_there { Ok(()) } else { Err(self.missing_error()) }
    }

    fn missing_error(self) -> Error {
        Error::InvalidSetting {
            name: "quantity to watch",
            expected: "one that this network and its data have".into(),
            got: format!("the {self}"),
        }
    }

    /// Its value after an epoch.
    fn value(self, epoch: &Epoch) -> Result<f64> {
        let value = match self {
            Self::TrainingLoss => Some(epoch.loss),
            Self::TrainingAccuracy => epoch.accuracy.map(|accuracy| nan_unless_finite(epoch.loss, accuracy)),
            _ => epoch.validation.as_ref().and_then(|metrics| self.validation_value(metrics)),
        };
        value.ok_or_else(|| self.missing_error())
    }
}

/// What a network is worth that has this loss: no number where the loss is none, since outputs that are no numbers have the
/// first class as their answer, which may well be right.
const fn nan_unless_finite(loss: f64, worth: f64) -> f64 {
    if loss.is_finite() { worth } else { f64::NAN }
}

impl Monitor {
    /// Its value on rows that validate, if it looks at those.
    pub(crate) fn validation_value(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::ValidationLoss => Some(metrics.loss()),
            Self::ValidationAccuracy => metrics.accuracy().map(|accuracy| nan_unless_finite(metrics.loss(), accuracy)),
            Self::ValidationR2 => metrics.r2().map(|r2| nan_unless_finite(metrics.loss(), r2)),
            Self::TrainingLoss | Self::TrainingAccuracy => None,
        }
    }
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

impl EarlyStopping {
    pub(crate) fn check(&self) -> Result<()> {
        check_not_negative("minimum change of early stopping", self.min_delta)
    }
}

impl ReduceOnPlateau {
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            let (expected, got) = ("a number from 0 to below 1".to_owned(), self.factor.to_string());
            return Err(Error::InvalidSetting { name: "factor of a plateau", expected, got });
        }
        check_not_negative("threshold of a plateau", self.threshold)?;
        check_not_negative("minimum of a plateau", self.min_learning_rate)
    }

    /// The rate after one that led to no better epoch.
    pub(crate) fn reduce(&self, learning_rate: f64) -> f64 {
        let less = (learning_rate * self.factor).max(self.min_learning_rate);
        if learning_rate - less > MIN_CHANGE { less } else { learning_rate }
    }
}

fn check_not_negative(what: &'static str, got: f64) -> Result<()> {
    if got.is_finite() && got >= 0.0 {
        return Ok(());
    }
    Err(Error::InvalidSetting { name: what, expected: "a finite number from 0 up".into(), got: got.to_string() })
}

/// How far the rules of a fit have come, for one network.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoopPolicies {
    early_stopping: EarlyStoppingState,
    plateau: PlateauState,
}

/// What the rules make of an epoch.
pub(crate) struct EpochDecision {
    /// The best epoch so far, where one is looked for.
    pub(crate) best_epoch: Option<usize>,
    /// Whether this is it, and its parameters are to be kept.
    pub(crate) takes_snapshot: bool,
    /// Whether there has been no better one for long enough.
    pub(crate) stops: bool,
    /// Whether the learning rate is to become smaller.
    pub(crate) reduces_learning_rate: bool,
}

impl LoopPolicies {
    /// Looks at an epoch, the last so far.
    pub(crate) fn observe(&mut self, fit: &TrainingLoop, number: usize, epoch: &Epoch) -> Result<EpochDecision> {
        let (is_best, stops) =
            fit.early_stopping.map_or(Ok((false, false)), |rule| self.early_stopping.observe(&rule, number, epoch))?;
        let reduces = fit.reduce_on_plateau.map_or(Ok(false), |rule| self.plateau.observe(&rule, epoch))?;
        let best = self.early_stopping.best.map(|(best, _)| best);
        Ok(EpochDecision {
            best_epoch: best,
            takes_snapshot: is_best && fit.needs_best_snapshot(),
            stops,
            reduces_learning_rate: reduces,
        })
    }
}

/// How far [`EarlyStopping`] has come.
#[derive(Debug, Clone, Default)]
struct EarlyStoppingState {
    /// The best epoch, and its value.
    best: Option<(usize, f64)>,
}

impl EarlyStoppingState {
    /// Looks at an epoch, the last so far: whether it is the best, and whether it is time to stop.
    fn observe(&mut self, rule: &EarlyStopping, number: usize, epoch: &Epoch) -> Result<(bool, bool)> {
        let value = rule.monitor.value(epoch)?;
        let change = rule.min_delta;
        let is_best = match self.best {
            // As in PyTorch, what is no finite number is never the best.
            None => value.is_finite(),
            Some((_, best)) if rule.monitor.is_minimized() => value < best - change,
            Some((_, best)) => value > best + change,
        };
        if is_best {
            self.best = Some((number, value));
        }
        let since = self.best.map_or(number + 1, |(best, _)| number - best);
        Ok((is_best, since > 0 && since >= rule.patience.max(1)))
    }
}

/// How far [`ReduceOnPlateau`] has come.
#[derive(Debug, Clone, Default)]
struct PlateauState {
    best: Option<f64>,
    /// Epochs in a row that were no better.
    epochs_without_improvement: usize,
    /// Epochs that are not counted.
    cooldown_left: usize,
}

impl PlateauState {
    /// Looks at an epoch: whether the rate is to become smaller.
    fn observe(&mut self, rule: &ReduceOnPlateau, epoch: &Epoch) -> Result<bool> {
        let value = rule.monitor.value(epoch)?;
        let is_better = match self.best {
            None => value.is_finite(),
            Some(best) if rule.monitor.is_minimized() => value < best * (1.0 - rule.threshold),
            Some(best) => value > best * (1.0 + rule.threshold),
        };
        if is_better {
            (self.best, self.epochs_without_improvement) = (Some(value), 0);
        } else {
            self.epochs_without_improvement += 1;
        }
        if self.cooldown_left > 0 {
            (self.cooldown_left, self.epochs_without_improvement) = (self.cooldown_left - 1, 0);
        }
        let reduces = self.epochs_without_improvement > rule.patience;
        if reduces {
            (self.cooldown_left, self.epochs_without_improvement) = (rule.cooldown, 0);
        }
        Ok(reduces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(loss: f64, accuracy: Option<f64>) -> Epoch {
        Epoch { steps: 1, loss, accuracy, validation: None, learning_rate: 0.1, seconds: 0.0 }
    }

    /// The rates after each of these losses, from 1 on.
    fn reduced_rates(rule: &ReduceOnPlateau, values: &[f64]) -> Vec<f64> {
        let (mut plateau, mut rate) = (PlateauState::default(), 1.0);
        let look = |value: &f64| {
            let epoch = epoch(*value, Some(*value));
            if plateau.observe(rule, &epoch).unwrap() {
                rate = rule.reduce(rate);
            }
            rate
        };
        values.iter().map(look).collect()
    }

    // PyTorch 2's rates for the same numbers, by `ReduceLROnPlateau(SGD([p], 1.0), ...)`.
    #[test]
    fn a_plateau_gives_the_rates_of_pytorch() {
        let monitor = Monitor::TrainingLoss;
        let rule = ReduceOnPlateau { monitor, patience: 2, ..ReduceOnPlateau::default() };
        let flat = [1.0; 8];
        assert_eq!(reduced_rates(&rule, &flat), [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1]);
        // Better by less than the threshold is not better; nor is NaN.
        assert_eq!(
            reduced_rates(&rule, &[1.0, 0.99995, f64::NAN, 0.99991, 0.5, 0.6, 0.6, 0.6]),
            [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1 * 0.1]
        );
        // The first four after the fall are not counted.
        let rule = ReduceOnPlateau { patience: 0, cooldown: 2, factor: 0.5, min_learning_rate: 0.2, ..rule };
        assert_eq!(reduced_rates(&rule, &[1.0; 12]), [1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2]);
        let rule = ReduceOnPlateau { monitor: Monitor::TrainingAccuracy, cooldown: 0, min_learning_rate: 0.0, ..rule };
        assert_eq!(reduced_rates(&rule, &[0.5, 0.6, 0.60003, 0.7, 0.6]), [1.0, 1.0, 0.5, 0.5, 0.25]);
        // A rate that would change by next to nothing stays.
        assert_eq!(rule.reduce(1.5e-8), 1.5e-8);
    }

    #[test]
    fn early_stopping_waits_as_long_as_it_says() {
        let stops = |rule: EarlyStopping, losses: &[f64]| {
            let mut stopping = EarlyStoppingState::default();
            let at = losses
                .iter()
                .enumerate()
                .position(|(number, loss)| stopping.observe(&rule, number, &epoch(*loss, Some(-loss))).unwrap().1);
            (at, stopping.best.map(|(best, _)| best))
        };
        let monitor = Monitor::TrainingLoss;
        let rule = EarlyStopping { monitor, patience: 2, ..EarlyStopping::default() };
        for rule in [rule, EarlyStopping { monitor: Monitor::TrainingAccuracy, ..rule }] {
            assert_eq!(stops(rule, &[3.0, 2.0, 1.0, 0.5]), (None, Some(3)));
            assert_eq!(stops(rule, &[3.0, 2.0, 2.0, 2.0, 1.0]), (Some(3), Some(1)));
            assert_eq!(stops(rule, &[3.0, 2.0, 2.5, 1.0, 1.5, 1.5]), (Some(5), Some(3)));
            // One that is no number is no best.
            assert_eq!(stops(rule, &[f64::NAN, 2.0, f64::NAN, f64::NAN]), (Some(3), Some(1)));
            assert_eq!(stops(rule, &[f64::NAN, f64::NAN, 2.0]), (Some(1), None));
            // Small changes add up until they are enough.
            let change = EarlyStopping { min_delta: 0.25, patience: 3, ..rule };
            assert_eq!(stops(change, &[1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), (None, Some(6)));
            assert_eq!(stops(change, &[1.0, 0.95, 0.9, 0.85, 0.8]), (Some(3), Some(0)));
        }
        let none = EarlyStopping { patience: 0, ..rule };
        assert_eq!(stops(none, &[3.0, 2.0, 2.0]), (Some(2), Some(1)), "no patience: the first that is no better");
    }

    #[test]
    fn an_accuracy_without_a_loss_is_no_number() {
        let monitor = Monitor::TrainingAccuracy;
        for loss in [f64::NAN, f64::INFINITY] {
            assert!(monitor.value(&epoch(loss, Some(0.9))).unwrap().is_nan());
        }
        assert_eq!(monitor.value(&epoch(1.0, Some(0.9))), Ok(0.9));
    }

    #[test]
    fn what_is_not_there_cannot_be_watched() {
        for monitor in [Monitor::ValidationLoss, Monitor::ValidationR2, Monitor::TrainingAccuracy] {
            let text = monitor.value(&epoch(1.0, None)).unwrap_err().to_string();
            let expected = "quantity to watch: expected one that this network and its data have, got the ";
            assert_eq!(text, format!("{expected}{monitor}"));
        }
    }

    #[test]
    fn numbers_that_make_no_decider_are_refused() {
        assert_eq!(EarlyStopping::default().check(), Ok(()));
        assert_eq!(ReduceOnPlateau::default().check(), Ok(()));
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(EarlyStopping { min_delta: bad, ..EarlyStopping::default() }.check().is_err());
            let rule = ReduceOnPlateau::default();
            assert!(ReduceOnPlateau { factor: bad, ..rule }.check().is_err());
            assert!(ReduceOnPlateau { threshold: bad, ..rule }.check().is_err());
            assert!(ReduceOnPlateau { min_learning_rate: bad, ..rule }.check().is_err());
        }
        assert!(ReduceOnPlateau { factor: 1.0, ..ReduceOnPlateau::default() }.check().is_err());
    }
}
