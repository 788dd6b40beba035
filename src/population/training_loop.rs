//! Many networks that are taken through epochs together, each with decisions of its own.

use crate::{
    error::{Error, Result},
    population::Population,
    train::{
        history::{Ended, Epoch, History},
        policies::Deciders,
        run_report::Report,
        training_loop::{Fit, Validation},
    },
    util::{blocking::blocking, clock::Clock},
};

/// One network on its way.
#[derive(Default)]
struct One {
    history: History,
    deciders: Deciders,
    /// What the epoch that is under way has brought.
    report: Report,
    seconds: f64,
    taken: usize,
    /// Why it has come to its end, if it has.
    ended: Option<Ended>,
}

impl Fit {
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
        /// As [`Population::run`] and [`Population::evaluate`]; [`Error::Setting`] for deciders that cannot decide, for
        /// [`Fit::every`] and [`Fit::after`], and where rows that validate are missing.
        pub fn run_together(&self, population: &mut Population) -> Result<Vec<History>>
            = self.run_together_async(population);
    }

    /// The asynchronous form of [`Fit::run_together`].
    ///
    /// # Errors
    /// As [`Fit::run_together`].
    pub async fn run_together_async(&self, population: &mut Population) -> Result<Vec<History>> {
        self.check_together(population)?;
        let clock = Clock::start();
        let mut all: Vec<_> = population.members().iter().map(|_| One::default()).collect();
        // Those that were stopped before have no part in it.
        let mut going: Vec<usize> = population.in_training().filter(|_| self.epochs > 0).collect();
        while !going.is_empty() {
            let mut steps = self.steps.map_or(usize::MAX, |most| most - all[going[0]].taken);
            for member in &going {
                steps = steps.min(population.steps_to_epoch(*member)?);
            }
            let start = Clock::start();
            let reports = if steps > 0 { population.run_async(steps).await? } else { Vec::new() };
            let seconds = start.seconds();
            let since = clock.seconds();
            for member in &going {
                let one = &mut all[*member];
                reports.get(*member).into_iter().for_each(|report| one.report.extend(report));
                one.seconds += seconds;
                one.taken += steps;
                one.ended = self.used_up(one.taken, since);
                if !population.is_in_training(*member) {
                    one.ended = Some(Ended::Diverged);
                }
            }
            let mut due = Vec::new();
            for member in &going {
                let is_over = population.steps_to_epoch(*member)? == population.steps_per_epoch(*member)?;
                if is_over || all[*member].ended.is_some() {
                    due.push(*member);
                }
            }
            self.end_epochs(population, &mut all, due).await?;
            let (ended, others) = going.into_iter().partition(|member| all[*member].ended.is_some());
            going = others;
            self.leave(population, &all, ended, going.is_empty()).await?;
        }
        Ok(all.into_iter().map(|one| one.history).collect())
    }

    /// Validates networks whose epoch is over, and decides how each goes on.
    async fn end_epochs(&self, population: &mut Population, all: &mut [One], due: Vec<usize>) -> Result<()> {
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
            one.history.epochs.push(Epoch::of(&report, validation, rate, seconds));
            let number = one.history.epochs.len() - 1;
            let verdict = one.deciders.look(self, number, &one.history.epochs[number])?;
            one.history.best = verdict.best;
            if verdict.keeps {
                best.push(member);
            }
            if verdict.stops {
                one.ended = one.ended.or(Some(Ended::NoImprovement));
            }
            if let Some(rule) = self.plateau.filter(|_| verdict.reduces) {
                let rate = rule.reduced(population.learning_rate(member)?);
                population.set_learning_rate(member, rate)?;
            }
            if number + 1 == self.epochs {
                one.ended = one.ended.or(Some(Ended::Epochs));
            }
            one.history.ended = one.ended.unwrap_or_default();
        }
        if best.is_empty() { Ok(()) } else { population.keep_async(&best).await }
    }

    /// Puts networks that have come to their end back to their best epoch, and takes them out of training unless all have.
    async fn leave(&self, population: &mut Population, all: &[One], ended: Vec<usize>, is_last: bool) -> Result<()> {
        for member in ended {
            let One { history, ended, .. } = &all[member];
            if self.goes_back(history) {
                population.restore(member)?;
            }
            if !is_last || *ended == Some(Ended::NoImprovement) {
                population.stop_async(member).await?;
            }
        }
        Ok(())
    }

    /// Refuses what only a single training can have.
    fn check_together(&self, population: &Population) -> Result<()> {
        self.check(true)?;
        if matches!(self.validation, Validation::LeftOut) {
            population.in_training().try_for_each(|member| population.left_out(member).map(drop))?;
        }
        let data = if let Validation::Data(data) = &self.validation { Some(data) } else { None };
        self.monitors().try_for_each(|monitor| population.check_monitor(monitor, data))?;
        let wrong = |what, got: &str| {
            Err(Error::Setting { what, expected: "none where many networks train".into(), got: got.into() })
        };
        match (self.every, self.after.epochs.is_empty()) {
            (Some(_), _) => wrong("steps between two callbacks", "some"),
            (_, false) => wrong("epochs of a training before", "some"),
            _ => Ok(()),
        }
    }
}
