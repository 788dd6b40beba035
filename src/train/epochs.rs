//! One run of a training loop: its epochs, and the decisions after each epoch.

use crate::{
    error::{Error, Result},
    train::{
        callback::{CallbackAction, Progress},
        history::{Epoch, History, PartialEpoch, StopReason},
        policies::{LoopPolicies, divergence::DivergencePolicy},
        run_report::RunReport,
        trainer::Trainer,
        training_loop::{TrainingLoop, Validation},
    },
    util::clock::Clock,
};

/// One call of [`TrainingLoop::run_with_callback_async`].
pub(crate) struct LoopRun<'a> {
    training_loop: &'a TrainingLoop,
    history: History,
    policies: LoopPolicies,
    /// The number of steps in this run so far.
    steps_taken: usize,
    /// The report of the steps since the last call of the callback.
    pending_report: RunReport,
    clock: Clock,
    /// Whether the trainer's snapshot holds the best epoch, instead of the state before the first epoch.
    has_best_snapshot: bool,
    /// The lowest monitored loss of an epoch whose end is in the snapshot.
    lowest_loss: f64,
    /// The number of divergences so far.
    divergences: usize,
    pub(crate) stop_reason: Option<StopReason>,
}

impl<'a> LoopRun<'a> {
    /// Starts a run, and takes a snapshot if the divergence policy needs one.
    pub(crate) async fn new(training_loop: &'a TrainingLoop, trainer: &mut Trainer) -> Result<Self> {
        let (mut policies, mut best_epoch) = (training_loop.policies(), None);
        for (index, epoch) in training_loop.resume_from.epochs.iter().enumerate() {
            best_epoch = policies.observe(index, epoch)?.best_epoch;
        }
        // A checkpoint also restores the snapshot of the earlier epochs.
        let has_best_snapshot = !training_loop.resume_from.epochs.is_empty()
            && trainer.has_snapshot()
            && (best_epoch.is_some() || !training_loop.needs_best_snapshot());
        if training_loop.divergence != DivergencePolicy::Fail && !has_best_snapshot {
            trainer.snapshot_async().await?;
        }
        let lowest_loss = training_loop
            .resume_from
            .epochs
            .iter()
            .map(Epoch::monitored_loss)
            .filter(|_| has_best_snapshot)
            .fold(f64::INFINITY, f64::min);
        Ok(Self {
            training_loop,
            history: training_loop.resume_from.clone(),
            policies,
            steps_taken: 0,
            pending_report: RunReport::default(),
            clock: Clock::start(),
            has_best_snapshot,
            lowest_loss,
            divergences: 0,
            stop_reason: None,
        })
    }

    /// Runs the rest of the trainer's current epoch, unless a budget, the callback or a divergence ends it earlier.
    pub(crate) async fn run_epoch(
        &mut self,
        trainer: &mut Trainer,
        callback: &mut impl AsyncFnMut(&mut Progress<'_>) -> Result<CallbackAction>,
    ) -> Result<()> {
        let PartialEpoch { mut report, mut seconds } = std::mem::take(&mut self.history.partial_epoch);
        loop {
            let steps = self.next_steps(trainer);
            if steps == 0 {
                break;
            }
            let clock = Clock::start();
            let outcome = trainer.run_async(steps).await;
            seconds += clock.seconds();
            self.steps_taken += steps;
            let step_report = match outcome {
                Err(error @ Error::Diverged { .. }) => return self.handle_divergence(trainer, error),
                outcome => outcome?,
            };
            report.extend(&step_report);
            self.pending_report.extend(&step_report);
            let ends_epoch = trainer.dataset_steps().is_multiple_of(trainer.steps_per_epoch() as u64);
            self.check_budgets();
            if ends_epoch || self.stop_reason.is_some() {
                break;
            }
            self.history.partial_epoch = PartialEpoch { report, seconds };
            self.call_callback(trainer, callback, false).await?;
            PartialEpoch { report, seconds } = std::mem::take(&mut self.history.partial_epoch);
            if self.stop_reason.is_some() {
                break;
            }
        }
        if report.losses.is_empty() {
            self.stop_reason = Some(StopReason::MaxSteps);
            return Ok(());
        }
        let validation = match &self.training_loop.validation {
            Validation::Data(data) => Some(trainer.evaluate_async(data).await?),
            Validation::None | Validation::Split(_) | Validation::HeldOutFold => None,
        };
        self.history.epochs.push(Epoch::from_report(&report, validation, trainer.last_learning_rate(), seconds));
        self.apply_policies(trainer).await?;
        // A callback that has just stopped the loop is not called again for the end of this epoch.
        if self.stop_reason == Some(StopReason::Callback) {
            Ok(())
        } else {
            self.call_callback(trainer, callback, true).await
        }
    }

    /// Returns the number of steps up to the end of the epoch, the next callback or the end of the step budget.
    fn next_steps(&self, trainer: &Trainer) -> usize {
        let steps_to_multiple = |multiple: usize| multiple - (trainer.dataset_steps() % multiple as u64) as usize;
        let remaining = self.training_loop.max_steps.map_or(usize::MAX, |steps| steps - self.steps_taken);
        steps_to_multiple(trainer.steps_per_epoch())
            .min(self.training_loop.callback_every.map_or(usize::MAX, steps_to_multiple))
            .min(remaining)
    }

    fn check_budgets(&mut self) {
        self.stop_reason =
            self.training_loop.exhausted_budget(self.steps_taken, self.clock.seconds()).or(self.stop_reason);
    }

    /// Restores the snapshot and applies the divergence policy.
    fn handle_divergence(&mut self, trainer: &mut Trainer, error: Error) -> Result<()> {
        match self.training_loop.divergence {
            DivergencePolicy::Stop => self.stop_reason = Some(StopReason::Diverged),
            DivergencePolicy::Retry { factor, max_retries } if self.divergences < max_retries => {
                trainer.set_learning_rate(factor * trainer.learning_rate())?;
                self.check_budgets();
            }
            DivergencePolicy::Fail | DivergencePolicy::Retry { .. } => return Err(error),
        }
        self.divergences += 1;
        self.pending_report = RunReport::default();
        trainer.restore()
    }

    /// Applies early stopping, learning-rate reduction and snapshots to the last epoch.
    async fn apply_policies(&mut self, trainer: &mut Trainer) -> Result<()> {
        let index = self.history.epochs.len() - 1;
        let epoch = &self.history.epochs[index];
        let decision = self.policies.observe(index, epoch)?;
        let loss = epoch.monitored_loss();
        self.history.best_epoch = decision.best_epoch.or(self.history.best_epoch);
        if decision.stops {
            self.stop_reason = Some(StopReason::NoImprovement);
        }
        let is_lowest = self.training_loop.divergence != DivergencePolicy::Fail
            && !self.training_loop.needs_best_snapshot()
            && loss < self.lowest_loss;
        if is_lowest {
            self.lowest_loss = loss;
        }
        if decision.takes_snapshot || is_lowest {
            trainer.snapshot_async().await?;
            self.has_best_snapshot = true;
        }
        if let Some(rule) = self.training_loop.reduce_on_plateau.filter(|_| decision.reduces_learning_rate) {
            trainer.set_learning_rate(rule.reduce(trainer.learning_rate()))?;
        }
        Ok(())
    }

    async fn call_callback(
        &mut self,
        trainer: &mut Trainer,
        callback: &mut impl AsyncFnMut(&mut Progress<'_>) -> Result<CallbackAction>,
        ends_epoch: bool,
    ) -> Result<()> {
        let mut progress =
            Progress { trainer, history: &self.history, report: &self.pending_report, is_epoch_end: ends_epoch };
        match callback(&mut progress).await? {
            CallbackAction::Continue => {}
            CallbackAction::Stop => self.stop_reason = Some(self.stop_reason.unwrap_or(StopReason::Callback)),
            CallbackAction::SetLearningRate(learning_rate) => trainer.set_learning_rate(learning_rate)?,
        }
        self.pending_report = RunReport::default();
        Ok(())
    }

    /// Restores the best epoch if early stopping demands it, and returns the history.
    pub(crate) fn finish(mut self, trainer: &mut Trainer) -> Result<History> {
        // A trainer that did not run the earlier epochs has no snapshot of them.
        if self.training_loop.must_restore(&self.history) && self.has_best_snapshot {
            trainer.restore()?;
        }
        self.history.stop_reason = self.stop_reason.unwrap_or_default();
        Ok(self.history)
    }
}
