//! What a trainer knows of its data.

use std::sync::Arc;

use crate::{Answers, Dataset, Scaler, dataset::Largest, features::ByteScale, task::Task};

/// What a trainer knows of its data set, or of the batches of the caller if it has none.
pub(super) struct DataInfo {
    /// Whether there is a data set.
    pub(super) is_present: bool,
    /// Whether rows have weights.
    pub(super) weighted: bool,
    /// The weights of the rows of the data set.
    pub(super) weights: Option<Arc<Vec<f32>>>,
    /// The targets of the data set.
    pub(super) answers: Option<Arc<Answers>>,
    pub(super) scaler: Option<Arc<Scaler>>,
    pub(super) byte_scale: ByteScale,
    /// The largest values of the data set.
    pub(super) largest: Largest,
    /// What the targets of the data set are.
    pub(super) task: Task,
}

impl DataInfo {
    pub(super) fn new(weighted: bool, task: Task, data: Option<&Dataset>) -> Self {
        Self {
            is_present: data.is_some(),
            weighted,
            weights: data.and_then(Dataset::shared_weights),
            answers: data.map(Dataset::shared_answers),
            scaler: data.and_then(Dataset::scaler).cloned().map(Arc::new),
            byte_scale: data.and_then(|data| data.features().scale_of_bytes()).into(),
            largest: data.map(Dataset::largest).unwrap_or_default(),
            task,
        }
    }
}
