//! A data set on which the members of a population are evaluated, each on its own subset.

use crate::{
    data::{
        dataset::Dataset,
        subset::{Subset, SubsetParams},
    },
    error::Result,
    metrics::regression::RegressionMetrics,
    nn::{loss::Loss, network::Network, task::Task},
};

/// An evaluation data set, with a cache of the subsets that were used so far. Each subset is prepared only once.
pub(crate) struct EvaluationSet {
    /// The data set as the caller passed it.
    original: Dataset,
    /// The data set as the networks read it, after scaling.
    pub(crate) data: Dataset,
    subsets: Vec<(Subset, EvaluationSubset)>,
}

/// A subset of the evaluation data set, prepared for the device or for the host.
pub(crate) struct EvaluationSubset {
    /// The rows of the subset; `None` for all rows.
    pub(crate) subset: Option<SubsetParams>,
    /// The statistics of the targets, from which a GPU computes the regression metrics; `None` on the CPU or if the
    /// targets are not values.
    pub(crate) target_stats: Option<RegressionMetrics>,
    /// A data set with only the rows of the subset, for the CPU; `None` on a GPU or for all rows.
    pub(crate) host_rows: Option<Dataset>,
}

/// The evaluation of one member on one subset.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationTask<'a> {
    pub(crate) member: usize,
    pub(crate) subset: &'a EvaluationSubset,
}

/// The settings that all evaluation tasks share.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationSettings<'a> {
    pub(crate) network: &'a Network,
    pub(crate) loss: Loss,
    pub(crate) task: Task,
}

impl EvaluationSet {
    /// Creates an evaluation set from the data set of the caller and the one that the networks read.
    pub(crate) fn new(original: &Dataset, data: Dataset) -> Self {
        Self { original: original.clone(), data, subsets: Vec::new() }
    }

    /// Returns whether this evaluation set was made for the data set `original`.
    pub(crate) fn is_for(&self, original: &Dataset) -> bool {
        self.original.is_same(original)
    }

    /// Prepares a subset, unless it is prepared already.
    ///
    /// # Errors
    /// The error of [`Subset::indices`] if the data set does not have these rows.
    pub(crate) fn prepare(&mut self, rows: Subset, on_host: bool) -> Result<()> {
        if self.subsets.iter().any(|(known, _)| *known == rows) {
            return Ok(());
        }
        let subset = SubsetParams::new(rows, self.data.rows())?;
        let indices = rows.indices(self.data.rows())?;
        let host_rows = if on_host && subset.is_some() { Some(self.data.select(&indices)?) } else { None };
        let target_stats = if on_host { None } else { RegressionMetrics::from_rows(&self.data, &indices)? };
        self.subsets.push((rows, EvaluationSubset { subset, target_stats, host_rows }));
        Ok(())
    }

    /// Returns the prepared subset if [`EvaluationSet::prepare`] was called for it.
    pub(crate) fn subset(&self, rows: Subset) -> Option<&EvaluationSubset> {
        self.subsets.iter().find(|(known, _)| *known == rows).map(|(_, subset)| subset)
    }
}
