//! One call of a fit: its epochs, and where each decision falls.

use crate::{
    error::{Error, Result},
    train::{
        history::{Epoch, History, PartialEpoch, StopReason},
        policies::{DivergencePolicy, LoopPolicies},
        run_report::RunReport,
        trainer::Trainer,
        training_loop::{CallbackAction, Progress, TrainingLoop, Validation},
    },
    util::clock::Clock,
};

/// One call of [`TrainingLoop::run_with_callback_async`].
pub(crate) struct LoopRun<'a> {
    training_loop: &'a TrainingLoop,
    history: History,
    policies: LoopPolicies,
    /// Steps that this call has taken.
    steps_taken: usize,
    /// What its steps brought since the callback was called last.
    pending_report: RunReport,
    clock: Clock,
    /// Whether what is kept is the best epoch, and not the start of this call.
    has_best_snapshot: bool,
    /// The lowest loss of an epoch whose end is kept in case that the next diverges, and how often that has been.
    lowest_loss: f64,
    divergences: usize,
    pub(crate) stop_reason: Option<StopReason>,
}

impl<'a> LoopRun<'a> {
    pub(crate) async fn new(fit: &'a TrainingLoop, trainer: &mut Trainer) -> Result<Self> {
        let (mut deciders, mut best) = (LoopPolicies::default(), None);
        for (number, epoch) in fit.resume_from.epochs.iter().enumerate() {
            best = deciders.observe(fit, number, epoch)?.best_epoch;
        }
        // What the epochs before have kept comes back with the trainer's checkpoint.
        let has_best = !fit.resume_from.epochs.is_empty()
            && trainer.has_snapshot()
            && (best.is_some() || !fit.needs_best_snapshot());
        if fit.divergence != DivergencePolicy::Fail && !has_best {
            trainer.snapshot_async().await?;
        }
        let lowest =
            fit.resume_from.epochs.iter().map(Epoch::monitored_loss).filter(|_| has_best).fold(f64::INFINITY, f64::min);
        Ok(Self {
            training_loop: fit,
            history: fit.resume_from.clone(),
            policies: deciders,
            steps_taken: 0,
            pending_report: RunReport::default(),
            clock: Clock::start(),
            has_best_snapshot: has_best,
            lowest_loss: lowest,
            divergences: 0,
            stop_reason: None,
        })
    }

    /// What is left of the trainer's epoch, unless something ends it before.
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
            let some = match outcome {
                Err(error @ Error::Diverged { .. }) => return self.handle_divergence(trainer, error),
                outcome => outcome?,
            };
            report.extend(&some);
            self.pending_report.extend(&some);
            let is_over = trainer.dataset_steps().is_multiple_of(trainer.steps_per_epoch() as u64);
            self.check_budgets();
            if is_over || self.stop_reason.is_some() {
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
            _ => None,
        };
        self.history.epochs.push(Epoch::from_report(&report, validation, trainer.last_learning_rate(), seconds));
        self.apply_policies(trainer).await?;
        // What has just said stop need not hear of it.
        if self.stop_reason == Some(StopReason::Callback) {
            Ok(())
        } else {
            self.call_callback(trainer, callback, true).await
        }
    }

    /// How many steps come next: up to the end of the epoch, the next call or the end of the budget.
    fn next_steps(&self, trainer: &Trainer) -> usize {
        let up_to = |multiple: usize| multiple - (trainer.dataset_steps() % multiple as u64) as usize;
        let left = self.training_loop.max_steps.map_or(usize::MAX, |steps| steps - self.steps_taken);
        up_to(trainer.steps_per_epoch()).min(self.training_loop.callback_every.map_or(usize::MAX, up_to)).min(left)
    }

    fn check_budgets(&mut self) {
        self.stop_reason =
            self.training_loop.exhausted_budget(self.steps_taken, self.clock.seconds()).or(self.stop_reason);
    }

    /// Goes back to what was kept, and says how it goes on.
    fn handle_divergence(&mut self, trainer: &mut Trainer, error: Error) -> Result<()> {
        match self.training_loop.divergence {
            DivergencePolicy::Stop => self.stop_reason = Some(StopReason::Diverged),
            DivergencePolicy::Retry { factor, max_retries: times } if self.divergences < times => {
                trainer.set_learning_rate(factor * trainer.learning_rate())?;
                self.check_budgets();
            }
            _ => return Err(error),
        }
        self.divergences += 1;
        self.pending_report = RunReport::default();
        trainer.restore()
    }

    /// Looks at the last epoch.
    async fn apply_policies(&mut self, trainer: &mut Trainer) -> Result<()> {
        let number = self.history.epochs.len() - 1;
        let epoch = &self.history.epochs[number];
        let verdict = self.policies.observe(self.training_loop, number, epoch)?;
        let loss = epoch.monitored_loss();
        self.history.best_epoch = verdict.best_epoch.or(self.history.best_epoch);
        if verdict.stops {
            self.stop_reason = Some(StopReason::NoImprovement);
        }
        let is_lowest = self.training_loop.divergence != DivergencePolicy::Fail
            && !self.training_loop.needs_best_snapshot()
            && loss < self.lowest_loss;
        if is_lowest {
            self.lowest_loss = loss;
        }
        if verdict.takes_snapshot || is_lowest {
            trainer.snapshot_async().await?;
            self.has_best_snapshot = true;
        }
        if let Some(rule) = self.training_loop.reduce_on_plateau.filter(|_| verdict.reduces_learning_rate) {
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
            CallbackAction::SetLearningRate(rate) => trainer.set_learning_rate(rate)?,
        }
        self.pending_report = RunReport::default();
        Ok(())
    }

    pub(crate) fn finish(mut self, trainer: &mut Trainer) -> Result<History> {
        // A trainer that is not the one of the epochs before has kept none of them.
        if self.training_loop.must_restore(&self.history) && self.has_best_snapshot {
            trainer.restore()?;
        }
        self.history.stop_reason = self.stop_reason.unwrap_or_default();
        Ok(self.history)
    }
}
