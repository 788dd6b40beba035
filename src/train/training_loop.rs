//! The settings of a training loop over epochs.

use std::time::Duration;

use crate::{
    data::{dataset::Dataset, split::Split},
    error::{Error, Result},
    train::{
        history::{History, StopReason},
        policies::{
            LoopPolicies, divergence::DivergencePolicy, early_stopping::EarlyStopping, monitor::Monitor,
            reduce_on_plateau::ReduceOnPlateau,
        },
    },
};

/// A training loop over epochs with validation, early stopping, learning-rate reduction and budgets.
///
/// ```no_run
/// use gradus::{Activation, Dataset, Device, EarlyStopping, Loss, Network, TrainerSettings, TrainingLoop};
/// # fn main() -> gradus::Result<()> {
/// # let (device, data) = (Device::auto()?, Dataset::new(2, &[0.0, 1.0], &[0u32, 1])?);
/// let network = Network::new(64).dense(128, Activation::Relu).dense(10, Activation::Identity);
/// let settings = TrainerSettings { loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
/// let training_loop = TrainingLoop::new(100).validation_split(0.1).early_stopping(EarlyStopping::default());
/// let (trainer, history) = training_loop.train(&device, &network, &data, settings)?;
/// println!("{history}");
/// # Ok(()) }
/// ```
///
/// Every decision falls on the same step in every run, so runs are reproducible bit for bit. The exception is
/// [`max_time`](Self::max_time), which depends on the clock.
///
/// Between epochs the host waits for the device only for validation, for the snapshots of early stopping and divergence
/// policies, and for the callback. Within an epoch it waits as [`Trainer::run_epoch`](crate::Trainer::run_epoch) does.
#[doc(alias = "fit")]
#[derive(Debug, Clone, Default)]
pub struct TrainingLoop {
    /// The maximum number of epochs. The first epoch is the remaining part of the trainer's current epoch.
    pub epochs: usize,
    /// The validation after every epoch.
    pub validation: Validation,
    /// Early stopping: ends a training run that does not improve.
    pub early_stopping: Option<EarlyStopping>,
    /// The reduction of the learning rate when the training does not improve.
    pub reduce_on_plateau: Option<ReduceOnPlateau>,
    /// The reaction to a loss that is NaN or infinite. In a population, only the member that diverges stops.
    pub divergence: DivergencePolicy,
    /// The maximum number of steps in one run.
    pub max_steps: Option<usize>,
    /// The maximum time of one run.
    ///
    /// The loop checks it after every epoch and before every call of the callback, and does not interrupt a step. The
    /// web has no clock, so a time budget is an error there.
    pub max_time: Option<Duration>,
    /// The number of steps between two calls of the callback.
    ///
    /// The loop calls the callback when the number of the trainer's steps on the data set is a multiple of it, in
    /// addition to the calls at the end of every epoch.
    pub callback_every: Option<usize>,
    /// The history of the epochs that the trainer has run before. Policies and the new history continue it.
    pub resume_from: History,
}

/// The validation after every epoch.
#[derive(Debug, Clone, Default)]
pub enum Validation {
    /// No validation.
    #[default]
    None,
    /// A part of the data set, drawn with the seed of the settings.
    ///
    /// [`TrainingLoop::prepare`] splits the data set and creates the trainer with the remaining rows.
    Split(Split),
    /// A separate data set.
    Data(Dataset),
    /// The held-out rows of each member of a [`Population`](crate::population::Population); see
    /// [`Subset::held_out`](crate::data::Subset::held_out).
    HeldOutFold,
}

impl TrainingLoop {
    /// Creates a loop of `epochs` epochs without validation, policies or budgets.
    pub fn new(epochs: usize) -> Self {
        Self { epochs, ..Self::default() }
    }

    /// Holds out this fraction of the rows, in `(0, 1)`, as the validation set.
    #[must_use]
    pub fn validation_split(self, fraction: f64) -> Self {
        self.validation(Validation::Split(Split { fraction, stratified: false }))
    }

    /// Sets the validation.
    #[must_use]
    pub fn validation(mut self, validation: Validation) -> Self {
        self.validation = validation;
        self
    }

    /// Sets a separate data set as the validation set.
    #[must_use]
    pub fn validation_data(self, data: &Dataset) -> Self {
        self.validation(Validation::Data(data.clone()))
    }

    /// Enables early stopping.
    #[must_use]
    pub const fn early_stopping(mut self, early_stopping: EarlyStopping) -> Self {
        self.early_stopping = Some(early_stopping);
        self
    }

    /// Enables the reduction of the learning rate on plateaus.
    #[must_use]
    pub const fn reduce_on_plateau(mut self, reduce_on_plateau: ReduceOnPlateau) -> Self {
        self.reduce_on_plateau = Some(reduce_on_plateau);
        self
    }

    /// Sets the reaction to a loss that is NaN or infinite.
    #[must_use]
    pub const fn on_divergence(mut self, policy: DivergencePolicy) -> Self {
        self.divergence = policy;
        self
    }

    /// Sets the maximum number of steps in one run.
    #[must_use]
    pub const fn max_steps(mut self, steps: usize) -> Self {
        self.max_steps = Some(steps);
        self
    }

    /// Sets the maximum time of one run.
    #[must_use]
    pub const fn max_time(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
        self
    }

    /// Also calls the callback every `steps` steps.
    #[must_use]
    pub const fn callback_every(mut self, steps: usize) -> Self {
        self.callback_every = Some(steps);
        self
    }

    /// Continues a history, for example of [`Checkpoint::history`](crate::Checkpoint::history).
    #[doc(alias = "initial_epoch")]
    #[must_use]
    pub fn resume_from(mut self, history: History) -> Self {
        self.resume_from = history;
        self
    }

    /// Returns the policies that decide after each epoch, in their initial state.
    pub(crate) fn policies(&self) -> LoopPolicies {
        LoopPolicies::new(self.early_stopping, self.reduce_on_plateau)
    }

    /// Returns the metrics that early stopping and learning-rate reduction monitor.
    pub(crate) fn monitors(&self) -> impl Iterator<Item = Monitor> {
        let monitors = [
            self.early_stopping.map(|early_stopping| early_stopping.monitor),
            self.reduce_on_plateau.map(|reduce_on_plateau| reduce_on_plateau.monitor),
        ];
        monitors.into_iter().flatten()
    }

    /// Returns whether the training ends with the parameters of its best epoch.
    pub(crate) fn needs_best_snapshot(&self) -> bool {
        self.early_stopping.is_some_and(|early_stopping| early_stopping.restore_best)
    }

    /// Returns whether a training run with this history must restore its best epoch at the end.
    pub(crate) fn must_restore(&self, history: &History) -> bool {
        let last = history.epochs.len().checked_sub(1);
        self.needs_best_snapshot() && history.best_epoch.is_some() && history.best_epoch != last
    }

    /// Returns the budget that is used up after `steps` steps and `seconds` seconds, if there is one.
    pub(crate) fn exhausted_budget(&self, steps: usize, seconds: f64) -> Option<StopReason> {
        if self.max_steps.is_some_and(|max_steps| steps >= max_steps) {
            Some(StopReason::MaxSteps)
        } else if self.max_time.is_some_and(|max_time| seconds >= max_time.as_secs_f64()) {
            Some(StopReason::MaxTime)
        } else {
            None
        }
    }

    /// Checks the settings for the training of a population, or of a single network.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a setting is out of range, or does not fit a single network or a population.
    /// [`Error::InvalidState`] if the validation set is missing or not split off yet.
    pub(crate) fn check(&self, is_population: bool) -> Result<()> {
        let has_validation = match self.validation {
            Validation::None => false,
            Validation::Data(_) => true,
            Validation::HeldOutFold if is_population => true,
            Validation::HeldOutFold => {
                return Err(Error::InvalidSetting {
                    name: "validation",
                    expected: "Validation::None, Split or Data for a single network".into(),
                    got: "HeldOutFold, which needs a population".into(),
                });
            }
            Validation::Split(_) => {
                let message = "Validation::Split must be applied before the trainer is created; use \
                               TrainingLoop::prepare or Dataset::split";
                return Err(Error::InvalidState { message: message.to_owned() });
            }
        };
        if let Some(early_stopping) = &self.early_stopping {
            early_stopping.check()?;
        }
        if let Some(reduce_on_plateau) = &self.reduce_on_plateau {
            reduce_on_plateau.check()?;
        }
        self.divergence.check()?;
        if is_population && matches!(self.divergence, DivergencePolicy::Retry { .. }) {
            let expected = "DivergencePolicy::Fail or Stop for a population".to_owned();
            return Err(Error::InvalidSetting { name: "divergence", expected, got: "Retry".into() });
        }
        if let Some(monitor) = self.monitors().find(|monitor| monitor.needs_validation() && !has_validation) {
            let message = format!(
                "monitor \"{monitor}\" needs a validation set; call validation_split or validation_data, or monitor a \
                 training metric"
            );
            return Err(Error::InvalidState { message });
        }
        if self.callback_every == Some(0) {
            let expected = "at least 1".to_owned();
            return Err(Error::InvalidSetting { name: "callback_every", expected, got: "0".into() });
        }
        if let Some(max_time) = self.max_time.filter(|_| cfg!(target_family = "wasm")) {
            let (expected, got) = ("None on the web, which has no clock".to_owned(), format!("{max_time:?}"));
            return Err(Error::InvalidSetting { name: "max_time", expected, got });
        }
        Ok(())
    }
}
