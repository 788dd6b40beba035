//! Training over epochs: validation, what decides after an epoch how it goes on, and what it was.

use std::time::Duration;

use crate::{
    data::split::Split,
    train::{
        history::{History, StopReason},
        policies::{DivergencePolicy, EarlyStopping, Monitor, ReduceOnPlateau},
    },
};

use crate::{
    data::dataset::Dataset,
    device::Device,
    error::{Error, Result},
    nn::network::Network,
    train::{epochs::LoopRun, run_report::RunReport, settings::TrainerSettings, trainer::Trainer},
    util::blocking::blocking,
};

/// How a trainer is taken through epochs: how many, what validates them, and what ends them before.
///
/// ```no_run
/// # use gradus::{Activation, Dataset, Device, EarlyStopping, Fit, Loss, Network, Settings};
/// # fn main() -> gradus::Result<()> {
/// # let (device, data) = (Device::auto()?, Dataset::new(2, &[0.0, 1.0], &[0u32, 1])?);
/// let network = Network::new(64).dense(128, Activation::Relu).dense(10, Activation::Identity);
/// let settings = Settings { loss: Loss::SoftmaxCrossEntropy, ..Settings::default() };
/// let fit = Fit::new(100).hold_out(0.1).early_stopping(EarlyStopping::default());
/// let (trainer, history) = fit.train(&device, &network, &data, settings)?;
/// println!("{history}");
/// # Ok(()) }
/// ```
///
/// All that is decided is decided at the same steps in every run, so that a run gives the same bits again; a time budget
/// alone ends where the clock says. Between epochs without validation, early stopping that restores, or a callback, nothing
/// is waited for but what [`Trainer::run_epoch`] waits for.
#[derive(Debug, Clone, Default)]
pub struct TrainingLoop {
    /// How many epochs, at most; the first is what is left of the trainer's current one.
    pub epochs: usize,
    /// What the network is tested on after every epoch.
    pub validation: Validation,
    /// Ends a training that gets no better.
    pub early_stopping: Option<EarlyStopping>,
    /// Makes the learning rate smaller when a training gets no better.
    pub reduce_on_plateau: Option<ReduceOnPlateau>,
    /// What becomes of it if the loss leaves the finite numbers. Of networks trained together each that does so stops.
    pub divergence: DivergencePolicy,
    /// How many steps, at most.
    pub max_steps: Option<usize>,
    /// How long, at most. It is looked at after every epoch and wherever the callback is called, and what is under way is
    /// not broken off. The one thing here that depends on the machine; the web has no clock, so it is refused there.
    pub max_time: Option<Duration>,
    /// After how many steps the callback is called, again and again, beside the ends of the epochs: where the number of
    /// the trainer's steps is a multiple of it.
    pub callback_every: Option<usize>,
    /// The epochs that the trainer has behind it: early stopping and plateaus go on from there, and the new history with
    /// them.
    pub resume_from: History,
}

/// What a network is tested on while it is trained.
#[derive(Debug, Clone, Default)]
pub enum Validation {
    /// Nothing.
    #[default]
    None,
    /// Rows of the data set that [`TrainingLoop::prepare`] makes a trainer of, drawn from the settings' seed.
    Split(Split),
    /// A data set of its own.
    Data(Dataset),
    /// Of each network of a [`Population`](crate::population::Population), the rows of its data set that it is trained without:
    /// [`Subset::held_out`](crate::data::Subset::held_out).
    HeldOutFold,
}

/// Where a training stands when its callback is called.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// What is trained. To save it is to ask it for its parameters.
    pub trainer: &'a mut Trainer,
    /// The epochs that are over.
    pub history: &'a History,
    /// The steps since the last call.
    pub report: &'a RunReport,
    /// Whether an epoch has just ended, the last of the history. In the middle of one it was not validated.
    pub is_epoch_end: bool,
}

/// What a callback wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CallbackAction {
    /// To go on.
    Continue,
    /// To stop here.
    Stop,
    /// To go on with another learning rate, which a schedule goes on multiplying.
    SetLearningRate(f64),
}

impl TrainingLoop {
    /// So many epochs and nothing else.
    pub fn new(epochs: usize) -> Self {
        Self { epochs, ..Self::default() }
    }

    /// With a share of the rows, from 0 to 1, held out for validation.
    #[must_use]
    pub fn validation_split(self, fraction: f64) -> Self {
        self.validation(Validation::Split(Split { fraction, stratified: false }))
    }

    /// With validation.
    #[must_use]
    pub fn validation(mut self, validation: Validation) -> Self {
        self.validation = validation;
        self
    }

    /// With validation on a data set of its own.
    #[must_use]
    pub fn validation_data(self, data: &Dataset) -> Self {
        self.validation(Validation::Data(data.clone()))
    }

    /// With early stopping.
    #[must_use]
    pub const fn early_stopping(mut self, rule: EarlyStopping) -> Self {
        self.early_stopping = Some(rule);
        self
    }

    /// With smaller rates on plateaus.
    #[must_use]
    pub const fn reduce_on_plateau(mut self, rule: ReduceOnPlateau) -> Self {
        self.reduce_on_plateau = Some(rule);
        self
    }

    /// With this to be done if the loss leaves the finite numbers.
    #[must_use]
    pub const fn on_divergence(mut self, rule: DivergencePolicy) -> Self {
        self.divergence = rule;
        self
    }

    /// With a budget of steps, for each call.
    #[must_use]
    pub const fn max_steps(mut self, steps: usize) -> Self {
        self.max_steps = Some(steps);
        self
    }

    /// With a budget of time for each call.
    #[must_use]
    pub const fn max_time(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
        self
    }

    /// With the callback called after every so many steps as well.
    #[must_use]
    pub const fn callback_every(mut self, steps: usize) -> Self {
        self.callback_every = Some(steps);
        self
    }

    /// After epochs that were before.
    #[must_use]
    pub fn resume_from(mut self, history: History) -> Self {
        self.resume_from = history;
        self
    }

    blocking! {
        /// A trainer of a network on a data set, without the rows that this holds out, and this with those rows to
        /// validate: [`TrainingLoop::run`] and [`TrainingLoop::run_with_callback`] take them from there.
        ///
        /// # Errors
        /// As [`Trainer::new`] and [`Dataset::split`], and [`Error::InvalidSetting`] for deciders that cannot decide.
        pub fn prepare(
            self,
            device: &Device,
            network: &Network,
            data: &Dataset,
            settings: TrainerSettings,
        ) -> Result<(Trainer, Self)> = self.prepare_async(device, network, data, settings);
    }

    /// The asynchronous form of [`TrainingLoop::prepare`].
    ///
    /// # Errors
    /// As [`TrainingLoop::prepare`].
    pub async fn prepare_async(
        mut self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: TrainerSettings,
    ) -> Result<(Trainer, Self)> {
        let mut train = data.clone();
        if let Validation::Split(split) = &self.validation {
            let (rest, held_out) = data.split(split, settings.seed)?;
            (train, self.validation) = (rest, Validation::Data(held_out));
        }
        self.check(false)?;
        Ok((Trainer::new_async(device, network, Some(&train), settings).await?, self))
    }

    blocking! {
        /// [`TrainingLoop::prepare`] and [`TrainingLoop::run`] in one.
        ///
        /// # Errors
        /// As those two.
        pub fn train(
            self,
            device: &Device,
            network: &Network,
            data: &Dataset,
            settings: TrainerSettings,
        ) -> Result<(Trainer, History)> = self.train_async(device, network, data, settings);
    }

    /// The asynchronous form of [`TrainingLoop::train`].
    ///
    /// # Errors
    /// As [`TrainingLoop::train`].
    pub async fn train_async(
        self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: TrainerSettings,
    ) -> Result<(Trainer, History)> {
        let (mut trainer, fit) = self.prepare_async(device, network, data, settings).await?;
        let history = fit.run_async(&mut trainer).await?;
        Ok((trainer, history))
    }

    blocking! {
        /// Takes a trainer through the epochs, from where it is.
        ///
        /// # Errors
        /// As [`Trainer::run`] and [`Trainer::evaluate`]; [`Error::InvalidSetting`] for deciders that cannot decide. After
        /// [`Error::Diverged`], which [`TrainingLoop::on_divergence`] can avert, the best epoch so far, if it was kept, can be
        /// had by [`Trainer::restore`].
        pub fn run(&self, trainer: &mut Trainer) -> Result<History> = self.run_async(trainer);
    }

    /// The asynchronous form of [`TrainingLoop::run`].
    ///
    /// # Errors
    /// As [`TrainingLoop::run`].
    pub async fn run_async(&self, trainer: &mut Trainer) -> Result<History> {
        self.check(false)?;
        // Without a callback nothing but the ends of epochs matters.
        let fit = Self { callback_every: self.callback_every.filter(|_| self.max_time.is_some()), ..self.clone() };
        fit.run_with_callback_async(trainer, async |_: &mut Progress<'_>| Ok(CallbackAction::Continue)).await
    }

    blocking! {
        /// The same with a callback after every epoch, and after every [`TrainingLoop::callback_every`] steps, which decides how it goes
        /// on. It comes after early stopping and plateaus have decided.
        ///
        /// # Errors
        /// As [`TrainingLoop::run`], and those of the callback.
        pub fn run_with_callback(
            &self,
            trainer: &mut Trainer,
            mut callback: impl FnMut(&mut Progress<'_>) -> Result<CallbackAction>,
        ) -> Result<History> = self.run_with_callback_async(trainer, async |progress: &mut Progress<'_>| callback(progress));
    }

    /// The asynchronous form of [`TrainingLoop::run_with_callback`].
    ///
    /// # Errors
    /// As [`TrainingLoop::run_with_callback`].
    pub async fn run_with_callback_async(
        &self,
        trainer: &mut Trainer,
        mut callback: impl AsyncFnMut(&mut Progress<'_>) -> Result<CallbackAction>,
    ) -> Result<History> {
        self.check(false)?;
        self.check_monitors(trainer)?;
        let mut run = LoopRun::new(self, trainer).await?;
        for _ in 0..self.epochs {
            run.run_epoch(trainer, &mut callback).await?;
            if run.stop_reason.is_some() {
                break;
            }
        }
        run.finish(trainer)
    }

    /// The quantities that early stopping and plateaus watch.
    pub(crate) fn monitors(&self) -> impl Iterator<Item = Monitor> {
        let monitors = [self.early_stopping.map(|rule| rule.monitor), self.reduce_on_plateau.map(|rule| rule.monitor)];
        monitors.into_iter().flatten()
    }

    /// Refuses to watch what a trainer's network and data do not have.
    fn check_monitors(&self, trainer: &Trainer) -> Result<()> {
        let validation = if let Validation::Data(data) = &self.validation { Some(data.targets()) } else { None };
        let (network, loss, training) = (trainer.network(), trainer.settings().loss, trainer.targets());
        self.monitors().try_for_each(|monitor| monitor.check_for(network, loss, training.as_deref(), validation))
    }

    /// Whether a training ends with the parameters of its best epoch.
    pub(crate) fn needs_best_snapshot(&self) -> bool {
        self.early_stopping.is_some_and(|rule| rule.restore_best)
    }

    /// Whether one that had these epochs has to go back for that.
    pub(crate) fn must_restore(&self, history: &History) -> bool {
        let last = history.epochs.len().checked_sub(1);
        self.needs_best_snapshot() && history.best_epoch.is_some() && history.best_epoch != last
    }

    /// What a training that has taken so many steps and seconds has used up, if it has.
    pub(crate) fn exhausted_budget(&self, steps: usize, seconds: f64) -> Option<StopReason> {
        if self.max_steps.is_some_and(|most| steps >= most) {
            Some(StopReason::MaxSteps)
        } else if self.max_time.is_some_and(|time| seconds >= time.as_secs_f64()) {
            Some(StopReason::MaxTime)
        } else {
            None
        }
    }

    /// Refuses what cannot be done, with many networks or with one.
    pub(crate) fn check(&self, together: bool) -> Result<()> {
        if matches!(self.validation, Validation::HeldOutFold) && !together {
            let (expected, got) = ("a data set of its own".to_owned(), "the rows that were left out".to_owned());
            return Err(Error::InvalidSetting { name: "validation of a single network", expected, got });
        }
        if let Validation::Split(_) = self.validation {
            let expected = "the data set that was held out, as Fit::trainer and Dataset::split give it".to_owned();
            return Err(Error::InvalidSetting {
                name: "validation of a trainer's data",
                expected,
                got: "a split".into(),
            });
        }
        self.early_stopping.map_or(Ok(()), |rule| rule.check())?;
        self.reduce_on_plateau.map_or(Ok(()), |rule| rule.check())?;
        self.divergence.check()?;
        if together && matches!(self.divergence, DivergencePolicy::Retry { .. }) {
            let (expected, got) = ("to fail or to stop".to_owned(), "to try again".to_owned());
            return Err(Error::InvalidSetting { name: "divergence of one network among many", expected, got });
        }
        let validates = !matches!(self.validation, Validation::None);
        if let Some(monitor) = self.monitors().find(|monitor| monitor.needs_validation() && !validates) {
            let (expected, got) = ("one that is there without validation".to_owned(), format!("the {monitor}"));
            return Err(Error::InvalidSetting { name: "quantity to watch", expected, got });
        }
        if self.callback_every == Some(0) {
            let expected = "at least one step".to_owned();
            return Err(Error::InvalidSetting { name: "steps between two callbacks", expected, got: "0".into() });
        }
        if cfg!(target_family = "wasm") && self.max_time.is_some() {
            let expected = "none on the web, which has no clock".to_owned();
            return Err(Error::InvalidSetting { name: "time of a training", expected, got: "one".into() });
        }
        Ok(())
    }
}
