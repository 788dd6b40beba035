//! What a trainer knows of its data.

use std::sync::Arc;

use crate::{
    data::{
        dataset::{Dataset, MaxAbs, Targets},
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
    pub(crate) has_sample_weights: bool,
    /// The weights of the rows of the data set.
    pub(crate) sample_weights: Option<Arc<Vec<f32>>>,
    /// The targets of the data set.
    pub(crate) targets: Option<Arc<Targets>>,
    pub(crate) scaler: Option<Arc<Scaler>>,
    pub(crate) byte_scale: ByteScale,
    /// The largest values of the data set.
    pub(crate) max_abs: MaxAbs,
    /// What the targets of the data set are.
    pub(crate) task: Task,
}

impl DataInfo {
    pub(crate) fn new(has_sample_weights: bool, task: Task, data: Option<&Dataset>) -> Self {
        Self {
            is_present: data.is_some(),
            has_sample_weights,
            sample_weights: data.and_then(Dataset::shared_sample_weights),
            targets: data.map(Dataset::shared_targets),
            scaler: data.and_then(Dataset::scaler).cloned().map(Arc::new),
            byte_scale: data.and_then(|data| data.features().byte_scale()).into(),
            max_abs: data.map(Dataset::max_abs).unwrap_or_default(),
            task,
        }
    }
}
