//! The interface between a training loop and its callback.

use crate::train::{history::History, run_report::RunReport, trainer::Trainer};

/// The progress of a training run, passed to the callback of a training loop.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The trainer. The callback may read its parameters, for example to save them.
    pub trainer: &'a mut Trainer,
    /// The history of the completed epochs.
    pub history: &'a History,
    /// The report of the steps since the last call of the callback.
    pub report: &'a RunReport,
    /// Whether an epoch has just ended. It is then the last epoch of the history. In the middle of an epoch the loop
    /// does not validate.
    pub is_epoch_end: bool,
}

/// The action that a callback requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CallbackAction {
    /// Continue the training.
    Continue,
    /// Stop the training.
    Stop,
    /// Continue with this learning rate. The schedule multiplies it.
    SetLearningRate(f64),
}
