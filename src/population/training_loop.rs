//! The training loop of a population: all members train together, and each has its own decisions.

use crate::{
    data::dataset::Dataset,
    error::{Error, Result},
    population::Population,
    train::{
        history::{Epoch, History, StopReason},
        policies::LoopPolicies,
        run_report::RunReport,
        training_loop::{TrainingLoop, Validation},
    },
    util::{blocking::blocking, clock::Clock},
};

/// The state of one member in the loop.
#[derive(Default)]
struct MemberLoop {
    history: History,
    policies: LoopPolicies,
    /// The report of the current epoch so far.
    report: RunReport,
    seconds: f64,
    steps_taken: usize,
    /// The reason why the member has stopped, if it has.
    stop_reason: Option<StopReason>,
}

impl MemberLoop {
    fn new(policies: LoopPolicies) -> Self {
        Self { policies, ..Self::default() }
    }
}

impl TrainingLoop {
    blocking! {
        /// Trains the active members of a population over the epochs, with one history per member.
        ///
        /// Each member makes the decisions that a single trainer would make from the same metrics. A member that stops
        /// or diverges frees its share of the device, and restores its best epoch if early stopping asks for it. If
        /// epochs have different lengths, a member also stops after its last epoch, so that it takes no further steps.
        ///
        /// The seconds of an epoch are those of all members together. The device sums the validation metrics in f32.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if a policy is invalid, if [`TrainingLoop::callback_every`] or
        ///   [`TrainingLoop::resume_from`] is set, or if a member has no validation set.
        /// - The errors of [`Population::run`] and [`Population::evaluate`].
        pub fn run_population(&self, population: &mut Population) -> Result<Vec<History>>
            = self.run_population_async(population);
    }

    /// The asynchronous form of [`TrainingLoop::run_population`].
    ///
    /// # Errors
    /// As [`TrainingLoop::run_population`].
    pub async fn run_population_async(&self, population: &mut Population) -> Result<Vec<History>> {
        self.check_population(population)?;
        let clock = Clock::start();
        let mut loops: Vec<_> = population.members().iter().map(|_| MemberLoop::new(self.policies())).collect();
        // Members that were stopped before this run keep an empty history.
        let mut running: Vec<usize> = population.active_members().filter(|_| self.epochs > 0).collect();
        while !running.is_empty() {
            let mut steps = self.max_steps.map_or(usize::MAX, |max_steps| max_steps - loops[running[0]].steps_taken);
            for member in &running {
                steps = steps.min(population.steps_left_in_epoch(*member)?);
            }
            let run_clock = Clock::start();
            let reports = if steps > 0 { population.run_async(steps).await? } else { Vec::new() };
            let run_seconds = run_clock.seconds();
            let total_seconds = clock.seconds();
            for member in &running {
                let state = &mut loops[*member];
                if let Some(report) = reports.get(*member) {
                    state.report.extend(report);
                }
                state.seconds += run_seconds;
                state.steps_taken += steps;
                state.stop_reason = self.exhausted_budget(state.steps_taken, total_seconds);
                if !population.is_active(*member) {
                    state.stop_reason = Some(StopReason::Diverged);
                }
            }
            let mut at_epoch_end = Vec::new();
            for member in &running {
                let is_epoch_end = population.steps_left_in_epoch(*member)? == population.steps_per_epoch(*member)?;
                if is_epoch_end || loops[*member].stop_reason.is_some() {
                    at_epoch_end.push(*member);
                }
            }
            self.end_epochs(population, &mut loops, at_epoch_end).await?;
            let (stopped, others) = running.into_iter().partition(|member| loops[*member].stop_reason.is_some());
            running = others;
            self.finish_members(population, &loops, stopped, running.is_empty()).await?;
        }
        Ok(loops.into_iter().map(|state| state.history).collect())
    }

    /// Validates members at the end of an epoch, records the epoch, and applies the policies.
    async fn end_epochs(
        &self,
        population: &mut Population,
        loops: &mut [MemberLoop],
        members: Vec<usize>,
    ) -> Result<()> {
        let members: Vec<usize> =
            members.into_iter().filter(|member| !loops[*member].report.losses.is_empty()).collect();
        let mut validations = vec![None; members.len()];
        if !members.is_empty() && !matches!(self.validation, Validation::None) {
            validations =
                population.validate(validation_set(&self.validation), &members).await?.into_iter().map(Some).collect();
        }
        let mut improved = Vec::new();
        for (member, validation) in members.into_iter().zip(validations) {
            let state = &mut loops[member];
            let report = std::mem::take(&mut state.report);
            let learning_rate = population.last_learning_rate(member)?;
            let seconds = std::mem::take(&mut state.seconds);
            state.history.epochs.push(Epoch::from_report(&report, validation, learning_rate, seconds));
            let epoch = state.history.epochs.len() - 1;
            let decision = state.policies.observe(epoch, &state.history.epochs[epoch])?;
            state.history.best_epoch = decision.best_epoch;
            if decision.takes_snapshot {
                improved.push(member);
            }
            if decision.stops {
                state.stop_reason = state.stop_reason.or(Some(StopReason::NoImprovement));
            }
            if let Some(rule) = self.reduce_on_plateau.filter(|_| decision.reduces_learning_rate) {
                let learning_rate = rule.reduce(population.learning_rate(member)?);
                population.set_learning_rate(member, learning_rate)?;
            }
            if epoch + 1 == self.epochs {
                state.stop_reason = state.stop_reason.or(Some(StopReason::Completed));
            }
            state.history.stop_reason = state.stop_reason.unwrap_or_default();
        }
        if improved.is_empty() { Ok(()) } else { population.snapshot_async(&improved).await }
    }

    /// Restores the best epoch of stopped members, and stops their training unless all members have completed.
    async fn finish_members(
        &self,
        population: &mut Population,
        loops: &[MemberLoop],
        stopped: Vec<usize>,
        is_last: bool,
    ) -> Result<()> {
        for member in stopped {
            let MemberLoop { history, stop_reason, .. } = &loops[member];
            if self.must_restore(history) {
                population.restore(member)?;
            }
            if !is_last || *stop_reason == Some(StopReason::NoImprovement) {
                population.stop_async(member).await?;
            }
        }
        Ok(())
    }

    /// Returns an error for settings that only a single trainer supports, or that the population cannot fulfill.
    fn check_population(&self, population: &Population) -> Result<()> {
        self.check(true)?;
        if matches!(self.validation, Validation::HeldOutFold) {
            population.active_members().try_for_each(|member| population.held_out_subset(member).map(drop))?;
        }
        self.monitors().try_for_each(|monitor| population.check_monitor(monitor, validation_set(&self.validation)))?;
        if let Some(steps) = self.callback_every {
            let (expected, got) = ("None for a population".to_owned(), format!("Some({steps})"));
            return Err(Error::InvalidSetting { name: "callback_every", expected, got });
        }
        if !self.resume_from.epochs.is_empty() {
            let expected = "an empty history for a population".to_owned();
            let got = format!("{} epochs", self.resume_from.epochs.len());
            return Err(Error::InvalidSetting { name: "resume_from", expected, got });
        }
        Ok(())
    }
}

/// Returns the validation set that all members share, if there is one.
pub(crate) const fn validation_set(validation: &Validation) -> Option<&Dataset> {
    match validation {
        Validation::Data(data) => Some(data),
        Validation::None | Validation::Split(_) | Validation::HeldOutFold => None,
    }
}
