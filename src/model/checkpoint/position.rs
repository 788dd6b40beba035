//! The step counters of a checkpoint, and its position in the data set.

use serde::{Deserialize, Serialize};

use crate::{
    engine::step::ResumeOffset,
    error::{Error, Result},
    optim::optimizer::Optimizer,
    train::settings::TrainerSettings,
};

/// The maximum number of steps. An f64 represents larger numbers only approximately.
pub(crate) const MAX_STEPS: u64 = 1 << 53;

/// The step counters of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointCounts {
    /// The number of rows of the data set, if there is one.
    pub(crate) dataset_rows: Option<usize>,
    /// Steps on the data set.
    pub(crate) dataset_steps: u64,
    /// All steps: on the data set and manual.
    pub(crate) total_steps: u64,
    /// All steps since the last reset of the optimizer.
    pub(crate) steps_since_reset: u64,
    pub(crate) last_loss: Option<f32>,
    /// The position after these steps. `None` in files of earlier versions, where the settings determine it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<TrainingPosition>,
}

/// The position of a training run in its data set, and the settings with which it got there.
///
/// The caller may change the settings of a checkpoint before resuming it, so they are stored here too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingPosition {
    /// The batch size, at most the number of rows of the data set.
    pub(crate) batch_size: usize,
    pub(crate) drop_last: bool,
    pub(crate) gradient_accumulation: usize,
    /// The optimizer that the optimizer state belongs to.
    pub(crate) optimizer: Optimizer,
    /// The number of completed epochs.
    pub(crate) epoch: u64,
    /// The number of rows of the current epoch so far.
    pub(crate) row_in_epoch: u64,
    /// The updates and epochs before the last change of the batch size or the gradient accumulation.
    pub(crate) resume_offset: ResumeOffset,
}

impl TrainingPosition {
    /// Computes the position from the settings, for files that do not store it.
    pub(crate) fn from_settings(settings: &TrainerSettings, counts: &CheckpointCounts) -> Self {
        let batch_size = counts.dataset_rows.map_or(settings.batch_size, |rows| settings.batch_size.min(rows)).max(1);
        let steps_per_epoch = counts.dataset_rows.map_or(1, |rows| rows.div_ceil(batch_size)).max(1) as u64;
        Self {
            batch_size,
            drop_last: false,
            gradient_accumulation: settings.gradient_accumulation,
            optimizer: settings.optimizer,
            epoch: counts.dataset_steps / steps_per_epoch,
            row_in_epoch: counts.dataset_steps % steps_per_epoch * batch_size as u64,
            resume_offset: ResumeOffset::default(),
        }
    }

    /// Returns an error if no training with these counters can have this position.
    pub(crate) fn check(&self, counts: &CheckpointCounts) -> Result<()> {
        self.optimizer.check()?;
        let rows = counts.dataset_rows.map_or(u64::MAX, |rows| rows as u64);
        let ResumeOffset { updates, epochs } = self.resume_offset;
        let is_possible = self.batch_size > 0
            && self.gradient_accumulation > 0
            && self.epoch <= counts.dataset_steps
            && self.row_in_epoch < rows
            && updates.max(epochs) <= MAX_STEPS;
        if is_possible {
            return Ok(());
        }
        let expected = format!(
            "batch_size >= 1, gradient_accumulation >= 1, epoch <= {}, row_in_epoch < {rows} and resume offsets <= \
             {MAX_STEPS}",
            counts.dataset_steps
        );
        let got = format!(
            "batch_size {}, gradient_accumulation {}, epoch {}, row_in_epoch {} and resume offsets {updates} and \
             {epochs}",
            self.batch_size, self.gradient_accumulation, self.epoch, self.row_in_epoch
        );
        Err(Error::InvalidSetting { name: "checkpoint position", expected, got })
    }
}
