//! The information about its data that a trainer stores.

use std::sync::Arc;

use crate::{
    data::{
        dataset::{Dataset, Targets},
        features::ByteScale,
        max_abs::MaxAbs,
        scaling::scaler::Scaler,
    },
    nn::task::Task,
};

/// The information about the data set of a trainer. Without a data set it describes the batches of the caller.
pub(crate) struct DataInfo {
    /// Whether there is a data set.
    pub(crate) is_present: bool,
    /// Whether rows have sample weights.
    pub(crate) has_sample_weights: bool,
    /// The sample weights of the data set.
    pub(crate) sample_weights: Option<Arc<Vec<f32>>>,
    /// The targets of the data set.
    pub(crate) targets: Option<Arc<Targets>>,
    pub(crate) scaler: Option<Arc<Scaler>>,
    pub(crate) byte_scale: ByteScale,
    /// The maximum absolute values of the data set.
    pub(crate) max_abs: MaxAbs,
    /// The task of the training, which the targets of the data set decide.
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
