//! A data set that networks are tested on, each on some rows of it.

use crate::{Dataset, Loss, Network, Regression, Result, Rows, rows::Subset, task::Task};

/// A data set, and what is known of those of its rows that somebody was tested on. So it is found out once.
pub(super) struct Tested {
    /// As it was given.
    given: Dataset,
    /// As the networks see it.
    pub(super) data: Dataset,
    parts: Vec<(Rows, Part)>,
}

pub(super) struct Part {
    pub(super) subset: Option<Subset>,
    /// What a regression is held against, where the answers are values.
    pub(super) answers: Option<Regression>,
    /// The rows by themselves, for the CPU, where they are not all.
    pub(super) alone: Option<Dataset>,
}

/// One network that is tested.
#[derive(Clone, Copy)]
pub(super) struct Test<'a> {
    pub(super) member: usize,
    pub(super) part: &'a Part,
}

/// How outputs are judged.
#[derive(Clone, Copy)]
pub(super) struct Judging<'a> {
    pub(super) network: &'a Network,
    pub(super) loss: Loss,
    pub(super) task: Task,
}

impl Tested {
    pub(super) fn new(given: &Dataset, data: Dataset) -> Self {
        Self { given: given.clone(), data, parts: Vec::new() }
    }

    pub(super) fn is_of(&self, given: &Dataset) -> bool {
        self.given.is_same(given)
    }

    /// Finds out about these rows.
    pub(super) fn prepare(&mut self, rows: Rows, on_the_cpu: bool) -> Result<()> {
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
    pub(super) fn part(&self, rows: Rows) -> Option<&Part> {
        self.parts.iter().find(|(known, _)| *known == rows).map(|(_, part)| part)
    }
}
