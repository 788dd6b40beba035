//! A data set that networks are tested on, each on some rows of it.

use crate::{
    data::{
        dataset::Dataset,
        subset::{Rows, Subset},
    },
    error::Result,
    metrics::regression::Regression,
    nn::{loss::Loss, network::Network, task::Task},
};

/// A data set, and what is known of those of its rows that somebody was tested on. So it is found out once.
pub(crate) struct Tested {
    /// As it was given.
    given: Dataset,
    /// As the networks see it.
    pub(crate) data: Dataset,
    parts: Vec<(Rows, Part)>,
}

pub(crate) struct Part {
    pub(crate) subset: Option<Subset>,
    /// What a regression is held against, where the answers are values.
    pub(crate) answers: Option<Regression>,
    /// The rows by themselves, for the CPU, where they are not all.
    pub(crate) alone: Option<Dataset>,
}

/// One network that is tested.
#[derive(Clone, Copy)]
pub(crate) struct Test<'a> {
    pub(crate) member: usize,
    pub(crate) part: &'a Part,
}

/// How outputs are judged.
#[derive(Clone, Copy)]
pub(crate) struct Judging<'a> {
    pub(crate) network: &'a Network,
    pub(crate) loss: Loss,
    pub(crate) task: Task,
}

impl Tested {
    pub(crate) fn new(given: &Dataset, data: Dataset) -> Self {
        Self { given: given.clone(), data, parts: Vec::new() }
    }

    pub(crate) fn is_of(&self, given: &Dataset) -> bool {
        self.given.is_same(given)
    }

    /// Finds out about these rows.
    pub(crate) fn prepare(&mut self, rows: Rows, on_the_cpu: bool) -> Result<()> {
        if self.parts.iter().any(|(known, _)| *known == rows) {
            return Ok(());
        }
        let subset = Subset::of(rows, self.data.rows())?;
        let numbers = rows.of(self.data.rows())?;
        let alone = if on_the_cpu && subset.is_some() { Some(self.data.select(&numbers)?) } else { None };
        let answers = if on_the_cpu { None } else { Regression::of_rows(&self.data, &numbers)? };
        self.parts.push((rows, Part { subset, answers, alone }));
        Ok(())
    }

    /// What was found out about them.
    pub(crate) fn part(&self, rows: Rows) -> Option<&Part> {
        self.parts.iter().find(|(known, _)| *known == rows).map(|(_, part)| part)
    }
}
