//! Many networks that are taken through epochs together, each with decisions of its own.

use crate::{
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

/// One network on its way.
#[derive(Default)]
struct MemberLoop {
    history: History,
    policies: LoopPolicies,
    /// What the epoch that is under way has brought.
    report: RunReport,
    seconds: f64,
    steps_taken: usize,
    /// Why it has come to its end, if it has.
    stop_reason: Option<StopReason>,
}

impl TrainingLoop {
    blocking! {
        /// Takes the networks of a population that are in training through the epochs, together and each with decisions
        /// of its own: one that gets no better or diverges leaves its place and costs nothing more, and ends as after
        /// its best epoch, if that was asked for. Where epochs have different lengths, a network that has done its last
        /// is stopped as well, so that it takes no more steps. An epoch's seconds are those of all networks together.
        ///
        /// What is decided is what a trainer alone would decide from the same numbers; those of a validation are added
        /// up on the device, in 32 bits. The histories have the population's order.
        ///
        /// # Errors
        /// As [`Population::run`] and [`Population::evaluate`]; [`Error::InvalidSetting`] for deciders that cannot decide, for
        /// [`TrainingLoop::callback_every`] and [`TrainingLoop::resume_from`], and where rows that validate are missing.
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
        let mut all: Vec<_> = population.members().iter().map(|_| MemberLoop::default()).collect();
        // Those that were stopped before have no part in it.
        let mut going: Vec<usize> = population.active_members().filter(|_| self.epochs > 0).collect();
        while !going.is_empty() {
            let mut steps = self.max_steps.map_or(usize::MAX, |most| most - all[going[0]].steps_taken);
            for member in &going {
                steps = steps.min(population.steps_left_in_epoch(*member)?);
            }
            let start = Clock::start();
            let reports = if steps > 0 { population.run_async(steps).await? } else { Vec::new() };
            let seconds = start.seconds();
            let since = clock.seconds();
            for member in &going {
                let one = &mut all[*member];
                reports.get(*member).into_iter().for_each(|report| one.report.extend(report));
                one.seconds += seconds;
                one.steps_taken += steps;
                one.stop_reason = self.exhausted_budget(one.steps_taken, since);
                if !population.is_active(*member) {
                    one.stop_reason = Some(StopReason::Diverged);
                }
            }
            let mut due = Vec::new();
            for member in &going {
                let is_over = population.steps_left_in_epoch(*member)? == population.steps_per_epoch(*member)?;
                if is_over || all[*member].stop_reason.is_some() {
                    due.push(*member);
                }
            }
            self.end_epochs(population, &mut all, due).await?;
            let (ended, others) = going.into_iter().partition(|member| all[*member].stop_reason.is_some());
            going = others;
            self.finish_members(population, &all, ended, going.is_empty()).await?;
        }
        Ok(all.into_iter().map(|one| one.history).collect())
    }

    /// Validates networks whose epoch is over, and decides how each goes on.
    async fn end_epochs(&self, population: &mut Population, all: &mut [MemberLoop], due: Vec<usize>) -> Result<()> {
        let due: Vec<usize> = due.into_iter().filter(|member| !all[*member].report.losses.is_empty()).collect();
        let mut validations = vec![None; due.len()];
        if !due.is_empty() && !matches!(self.validation, Validation::None) {
            let data = if let Validation::Data(data) = &self.validation { Some(data) } else { None };
            validations = population.validate(data, &due).await?.into_iter().map(Some).collect();
        }
        let mut best = Vec::new();
        for (member, validation) in due.into_iter().zip(validations) {
            let one = &mut all[member];
            let report = std::mem::take(&mut one.report);
            let (rate, seconds) = (population.last_learning_rate(member)?, std::mem::take(&mut one.seconds));
            one.history.epochs.push(Epoch::from_report(&report, validation, rate, seconds));
            let number = one.history.epochs.len() - 1;
            let verdict = one.policies.observe(self, number, &one.history.epochs[number])?;
            one.history.best_epoch = verdict.best_epoch;
            if verdict.takes_snapshot {
                best.push(member);
            }
            if verdict.stops {
                one.stop_reason = one.stop_reason.or(Some(StopReason::NoImprovement));
            }
            if let Some(rule) = self.reduce_on_plateau.filter(|_| verdict.reduces_learning_rate) {
                let rate = rule.reduce(population.learning_rate(member)?);
                population.set_learning_rate(member, rate)?;
            }
            if number + 1 == self.epochs {
                one.stop_reason = one.stop_reason.or(Some(StopReason::Completed));
            }
            one.history.stop_reason = one.stop_reason.unwrap_or_default();
        }
        if best.is_empty() { Ok(()) } else { population.snapshot_async(&best).await }
    }

    /// Puts networks that have come to their end back to their best epoch, and takes them out of training unless all have.
    async fn finish_members(
        &self,
        population: &mut Population,
        all: &[MemberLoop],
        ended: Vec<usize>,
        is_last: bool,
    ) -> Result<()> {
        for member in ended {
            let MemberLoop { history, stop_reason: ended, .. } = &all[member];
            if self.must_restore(history) {
                population.restore(member)?;
            }
            if !is_last || *ended == Some(StopReason::NoImprovement) {
                population.stop_async(member).await?;
            }
        }
        Ok(())
    }

    /// Refuses what only a single training can have.
    fn check_population(&self, population: &Population) -> Result<()> {
        self.check(true)?;
        if matches!(self.validation, Validation::HeldOutFold) {
            population.active_members().try_for_each(|member| population.held_out_subset(member).map(drop))?;
        }
        let data = if let Validation::Data(data) = &self.validation { Some(data) } else { None };
        self.monitors().try_for_each(|monitor| population.check_monitor(monitor, data))?;
        let wrong = |what, got: &str| {
            Err(Error::InvalidSetting {
                name: what,
                expected: "none where many networks train".into(),
                got: got.into(),
            })
        };
        match (self.callback_every, self.resume_from.epochs.is_empty()) {
            (Some(_), _) => wrong("steps between two callbacks", "some"),
            (_, false) => wrong("epochs of a training before", "some"),
            _ => Ok(()),
        }
    }
}
