//! What a trainer knows of its data.

use std::sync::Arc;

use crate::{
    data::{
        dataset::{Answers, Dataset, Largest},
        features::ByteScale,
        scaling::Scaler,
    },
    nn::task::Task,
};

/// What a trainer knows of its data set, or of the batches of the caller if it has none.
pub(crate) struct DataInfo {
    /// Whether there is a data set.
    pub(crate) is_present: bool,
    /// Whether rows have weights.
    pub(crate) weighted: bool,
    /// The weights of the rows of the data set.
    pub(crate) weights: Option<Arc<Vec<f32>>>,
    /// The targets of the data set.
    pub(crate) answers: Option<Arc<Answers>>,
    pub(crate) scaler: Option<Arc<Scaler>>,
    pub(crate) byte_scale: ByteScale,
    /// The largest values of the data set.
    pub(crate) largest: Largest,
    /// What the targets of the data set are.
    pub(crate) task: Task,
}

impl DataInfo {
    pub(crate) fn new(weighted: bool, task: Task, data: Option<&Dataset>) -> Self {
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
