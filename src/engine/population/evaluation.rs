//! A data set that networks are tested on, each on some rows of it.

use crate::{
    data::{
        dataset::Dataset,
        subset::{Subset, SubsetParams},
    },
    error::Result,
    metrics::regression::RegressionMetrics,
    nn::{loss::Loss, network::Network, task::Task},
};

/// A data set, and what is known of those of its rows that somebody was tested on. So it is found out once.
pub(crate) struct EvaluationSet {
    /// As it was given.
    original: Dataset,
    /// As the networks see it.
    pub(crate) data: Dataset,
    subsets: Vec<(Subset, EvaluationSubset)>,
}

pub(crate) struct EvaluationSubset {
    pub(crate) subset: Option<SubsetParams>,
    /// What a regression is held against, where the answers are values.
    pub(crate) target_stats: Option<RegressionMetrics>,
    /// The rows by themselves, for the CPU, where they are not all.
    pub(crate) host_rows: Option<Dataset>,
}

/// One network that is tested.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationTask<'a> {
    pub(crate) member: usize,
    pub(crate) subset: &'a EvaluationSubset,
}

/// How outputs are judged.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationSettings<'a> {
    pub(crate) network: &'a Network,
    pub(crate) loss: Loss,
    pub(crate) task: Task,
}

impl EvaluationSet {
    pub(crate) fn new(given: &Dataset, data: Dataset) -> Self {
        Self { original: given.clone(), data, subsets: Vec::new() }
    }

    pub(crate) fn is_for(&self, given: &Dataset) -> bool {
        self.original.is_same(given)
    }

    /// Finds out about these rows.
    pub(crate) fn prepare(&mut self, rows: Subset, on_the_cpu: bool) -> Result<()> {
        if self.subsets.iter().any(|(known, _)| *known == rows) {
            return Ok(());
        }
        let subset = SubsetParams::new(rows, self.data.rows())?;
        let numbers = rows.indices(self.data.rows())?;
        let alone = if on_the_cpu && subset.is_some() { Some(self.data.select(&numbers)?) } else { None };
        let answers = if on_the_cpu { None } else { RegressionMetrics::from_rows(&self.data, &numbers)? };
        self.subsets.push((rows, EvaluationSubset { subset, target_stats: answers, host_rows: alone }));
        Ok(())
    }

    /// What was found out about them.
    pub(crate) fn subset(&self, rows: Subset) -> Option<&EvaluationSubset> {
        self.subsets.iter().find(|(known, _)| *known == rows).map(|(_, part)| part)
    }
}
