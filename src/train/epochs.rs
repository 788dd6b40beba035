//! One call of a fit: its epochs, and where each decision falls.

use crate::{
    error::{Error, Result},
    train::{
        history::{Ended, Epoch, History, Open},
        policies::{Deciders, Divergence},
        run_report::Report,
        trainer::Trainer,
        training_loop::{Decision, Fit, Progress, Validation},
    },
    util::clock::Clock,
};

/// One call of [`Fit::run_with_async`].
pub(crate) struct Run<'a> {
    fit: &'a Fit,
    history: History,
    deciders: Deciders,
    /// Steps that this call has taken.
    taken: usize,
    /// What its steps brought since the callback was called last.
    untold: Report,
    clock: Clock,
    /// Whether what is kept is the best epoch, and not the start of this call.
    keeps_best: bool,
    /// The lowest loss of an epoch whose end is kept in case that the next diverges, and how often that has been.
    lowest: f64,
    divergences: usize,
    pub(crate) ended: Option<Ended>,
}

impl<'a> Run<'a> {
    pub(crate) async fn new(fit: &'a Fit, trainer: &mut Trainer) -> Result<Self> {
        let (mut deciders, mut best) = (Deciders::default(), None);
        for (number, epoch) in fit.after.epochs.iter().enumerate() {
            best = deciders.look(fit, number, epoch)?.best;
        }
        // What the epochs before have kept comes back with the trainer's checkpoint.
        let has_best = !fit.after.epochs.is_empty() && trainer.has_kept() && (best.is_some() || !fit.restores_best());
        if fit.divergence != Divergence::Fail && !has_best {
            trainer.keep_async().await?;
        }
        let lowest =
            fit.after.epochs.iter().map(Epoch::held_out_loss).filter(|_| has_best).fold(f64::INFINITY, f64::min);
        Ok(Self {
            fit,
            history: fit.after.clone(),
            deciders,
            taken: 0,
            untold: Report::default(),
            clock: Clock::start(),
            keeps_best: has_best,
            lowest,
            divergences: 0,
            ended: None,
        })
    }

    /// What is left of the trainer's epoch, unless something ends it before.
    pub(crate) async fn epoch(
        &mut self,
        trainer: &mut Trainer,
        callback: &mut impl AsyncFnMut(&mut Progress<'_>) -> Result<Decision>,
    ) -> Result<()> {
        let Open { mut report, mut seconds } = std::mem::take(&mut self.history.open);
        loop {
            let steps = self.next(trainer);
            if steps == 0 {
                break;
            }
            let clock = Clock::start();
            let outcome = trainer.run_async(steps).await;
            seconds += clock.seconds();
            self.taken += steps;
            let some = match outcome {
                Err(error @ Error::Diverged { .. }) => return self.diverged(trainer, error),
                outcome => outcome?,
            };
            report.extend(&some);
            self.untold.extend(&some);
            let is_over = trainer.steps().is_multiple_of(trainer.steps_per_epoch() as u64);
            self.check_budgets();
            if is_over || self.ended.is_some() {
                break;
            }
            self.history.open = Open { report, seconds };
            self.call(trainer, callback, false).await?;
            Open { report, seconds } = std::mem::take(&mut self.history.open);
            if self.ended.is_some() {
                break;
            }
        }
        if report.losses.is_empty() {
            self.ended = Some(Ended::Steps);
            return Ok(());
        }
        let validation = match &self.fit.validation {
            Validation::Data(data) => Some(trainer.evaluate_async(data).await?),
            _ => None,
        };
        self.history.epochs.push(Epoch::of(&report, validation, trainer.last_learning_rate(), seconds));
        self.decide(trainer).await?;
        // What has just said stop need not hear of it.
        if self.ended == Some(Ended::Callback) { Ok(()) } else { self.call(trainer, callback, true).await }
    }

    /// How many steps come next: up to the end of the epoch, the next call or the end of the budget.
    fn next(&self, trainer: &Trainer) -> usize {
        let up_to = |multiple: usize| multiple - (trainer.steps() % multiple as u64) as usize;
        let left = self.fit.steps.map_or(usize::MAX, |steps| steps - self.taken);
        up_to(trainer.steps_per_epoch()).min(self.fit.every.map_or(usize::MAX, up_to)).min(left)
    }

    fn check_budgets(&mut self) {
        self.ended = self.fit.used_up(self.taken, self.clock.seconds()).or(self.ended);
    }

    /// Goes back to what was kept, and says how it goes on.
    fn diverged(&mut self, trainer: &mut Trainer, error: Error) -> Result<()> {
        match self.fit.divergence {
            Divergence::Stop => self.ended = Some(Ended::Diverged),
            Divergence::Retry { factor, times } if self.divergences < times => {
                trainer.set_learning_rate(factor * trainer.learning_rate())?;
                self.check_budgets();
            }
            _ => return Err(error),
        }
        self.divergences += 1;
        self.untold = Report::default();
        trainer.restore()
    }

    /// Looks at the last epoch.
    async fn decide(&mut self, trainer: &mut Trainer) -> Result<()> {
        let number = self.history.epochs.len() - 1;
        let epoch = &self.history.epochs[number];
        let verdict = self.deciders.look(self.fit, number, epoch)?;
        let loss = epoch.held_out_loss();
        self.history.best = verdict.best.or(self.history.best);
        if verdict.stops {
            self.ended = Some(Ended::NoImprovement);
        }
        let is_lowest = self.fit.divergence != Divergence::Fail && !self.fit.restores_best() && loss < self.lowest;
        if is_lowest {
            self.lowest = loss;
        }
        if verdict.keeps || is_lowest {
            trainer.keep_async().await?;
            self.keeps_best = true;
        }
        if let Some(rule) = self.fit.plateau.filter(|_| verdict.reduces) {
            trainer.set_learning_rate(rule.reduced(trainer.learning_rate()))?;
        }
        Ok(())
    }

    async fn call(
        &mut self,
        trainer: &mut Trainer,
        callback: &mut impl AsyncFnMut(&mut Progress<'_>) -> Result<Decision>,
        ends_epoch: bool,
    ) -> Result<()> {
        let mut progress = Progress { trainer, history: &self.history, steps: &self.untold, ends_epoch };
        match callback(&mut progress).await? {
            Decision::GoOn => {}
            Decision::Stop => self.ended = Some(self.ended.unwrap_or(Ended::Callback)),
            Decision::LearningRate(rate) => trainer.set_learning_rate(rate)?,
        }
        self.untold = Report::default();
        Ok(())
    }

    pub(crate) fn finish(mut self, trainer: &mut Trainer) -> Result<History> {
        // A trainer that is not the one of the epochs before has kept none of them.
        if self.fit.goes_back(&self.history) && self.keeps_best {
            trainer.restore()?;
        }
        self.history.ended = self.ended.unwrap_or_default();
        Ok(self.history)
    }
}
