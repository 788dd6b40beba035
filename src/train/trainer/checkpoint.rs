//! Checkpoints of a training run: how a trainer takes and resumes them.

use std::{collections::BTreeMap, fmt};

#[cfg(doc)]
use crate::train::settings::TrainerSettings;
use crate::{
    data::dataset::Dataset,
    device::Device,
    engine::{
        state::TrainingState,
        step::{ResumeOffset, StepGenerator},
    },
    error::{Error, Result},
    model::{
        Model,
        checkpoint::{
            Checkpoint,
            optimizer_state::{OptimizerState, Snapshot},
            position::{CheckpointCounts, MAX_STEPS, TrainingPosition},
        },
    },
    nn::parameters::LayerParameters,
    plan::Plan,
    train::{history::History, trainer::Trainer},
    util::blocking::blocking,
};

impl Trainer {
    blocking! {
        /// Returns the network with its parameters and its scaler, to save, export or predict with.
        ///
        /// # Errors
        /// As [`Trainer::parameters`].
        pub fn model(&self) -> Result<Model> = self.model_async();
    }

    /// The asynchronous form of [`Trainer::model`].
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub async fn model_async(&self) -> Result<Model> {
        Ok(self.build_model(self.parameters_async().await?))
    }

    fn build_model(&self, parameters: Vec<LayerParameters>) -> Model {
        let (network, scaler) = (self.network.clone(), self.scaler().cloned());
        Model { network, parameters, scaler, byte_scale: self.data.byte_scale.scale, metadata: BTreeMap::new() }
    }

    blocking! {
        /// Takes a checkpoint of the training, to save it and resume it later with [`Trainer::resume`].
        ///
        /// # Errors
        /// The errors of [`Trainer::take_report`] and [`Trainer::parameters`].
        #[doc(alias = "ModelCheckpoint")]
        pub fn checkpoint(&mut self) -> Result<Checkpoint> = self.checkpoint_async();
    }

    /// The asynchronous form of [`Trainer::checkpoint`].
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`].
    pub async fn checkpoint_async(&mut self) -> Result<Checkpoint> {
        self.collect_metrics_async().await?;
        let current_state = self.engine.training_state().await?;
        let snapshot_state = self.engine.snapshot_state().await?;
        let (parameters, state) = self.unpack(current_state);
        let snapshot = self.counts.snapshot_steps.zip(snapshot_state).map(|(steps_since_reset, state)| {
            let (parameters, state) = self.unpack(state);
            Snapshot { parameters, state, steps_since_reset }
        });
        let model = self.build_model(parameters);
        let mut settings = self.settings.clone();
        settings.plan = Some(Plan { dispatches: Vec::new(), ..self.plan() });
        let position = self.position();
        let counts = CheckpointCounts {
            dataset_rows: self.data.is_present.then_some(self.step_generator().rows),
            dataset_steps: self.counts.dataset_steps,
            total_steps: self.counts.total_steps,
            steps_since_reset: self.counts.steps_since_reset,
            last_loss: self.last_loss,
            position: Some(position),
        };
        Ok(Checkpoint { model, settings, history: History::default(), counts, position, state, snapshot })
    }

    blocking! {
        /// Creates a trainer that resumes the training of a checkpoint.
        ///
        /// Pass the same data set; gradus checks only its number of rows. A data set without a scaler gets the scaler
        /// of the checkpoint.
        ///
        /// [`Checkpoint::settings`] may be changed before:
        ///
        /// - The learning rate and other numbers of the optimizer may change at any time, its update rule may not.
        /// - [`batch_size`](TrainerSettings::batch_size), [`drop_last`](TrainerSettings::drop_last) and
        ///   [`gradient_accumulation`](TrainerSettings::gradient_accumulation) may change only at the end of an epoch,
        ///   if no accumulated batches wait for an update.
        ///
        /// After the second kind of change the next epoch visits all rows. Optimizers and schedules continue with the
        /// same number of updates, and schedules per epoch with the same number of epochs. [`Trainer::dataset_steps`]
        /// is then the number of steps that these epochs have with the new settings. The snapshot of early stopping can
        /// still be restored, but restoring it does not reset the schedule.
        ///
        /// # Errors
        /// - The errors of [`Trainer::new`].
        /// - [`Error::InvalidSetting`] if `batch_size`, `drop_last` or `gradient_accumulation` changed within an epoch
        ///   or an update, or with a schedule that counts epochs after a warmup.
        /// - [`Error::InvalidSetting`] if the update rule changed, or the number of rows differs.
        /// - [`Error::InvalidState`] if the scaler of the data set differs from the checkpoint's.
        /// - [`Error::InvalidPlan`] if the plan was made for another device, driver, number of threads or version. Set
        ///   [`TrainerSettings::plan`] to `None` to resume there within rounding.
        pub fn resume(device: &Device, checkpoint: &Checkpoint, data: Option<&Dataset>) -> Result<Self>
            = Self::resume_async(device, checkpoint, data);
    }

    /// The asynchronous form of [`Trainer::resume`].
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub async fn resume_async(device: &Device, checkpoint: &Checkpoint, data: Option<&Dataset>) -> Result<Self> {
        let Checkpoint { model, settings, counts, state, snapshot, .. } = checkpoint;
        checkpoint.check()?;
        check_rows(counts.dataset_rows, data.map(Dataset::rows))?;
        if let Some(data) = data {
            data.check_scale(model.byte_scale)?;
        }
        let scaled = match (data, &model.scaler) {
            (Some(data), Some(scaler)) if data.scaler().is_none() => Some(data.clone().with_scaler(scaler)?),
            (Some(data), scaler) if data.scaler() != scaler.as_ref() => {
                let message = "the scaler of the data set differs from the checkpoint's; pass the data set without a \
                               scaler to use the checkpoint's";
                return Err(Error::InvalidState { message: message.to_owned() });
            }
            _ => None,
        };
        let data = scaled.as_ref().or(data);
        let mut trainer = Self::new_async(device, &model.network, data, settings.clone()).await?;
        let has_changed = trainer.resume_position(counts, &checkpoint.position)?;
        if let Some(Snapshot { parameters, state, steps_since_reset }) = snapshot {
            trainer.set_training_state(parameters, state);
            trainer.snapshot_async().await?;
            // After a change the trainer counts steps from 0 again.
            trainer.counts.snapshot_steps = Some(if has_changed { 0 } else { *steps_since_reset });
        }
        trainer.set_training_state(&model.parameters, state);
        trainer.last_loss = counts.last_loss;
        trainer.data.byte_scale = model.byte_scale.into();
        Ok(trainer)
    }

    /// Returns the settings that decide which rows a step and an update consist of.
    const fn batch_settings(&self) -> BatchSettings {
        let generator = self.step_generator();
        BatchSettings {
            batch_size: generator.batch_size,
            drop_last: generator.drop_last,
            gradient_accumulation: generator.gradient_accumulation,
        }
    }

    /// Returns the position of the training in its data set, and the settings with which it got there.
    fn position(&self) -> TrainingPosition {
        let BatchSettings { batch_size, drop_last, gradient_accumulation } = self.batch_settings();
        let steps_per_epoch = self.step_generator().steps_per_epoch();
        TrainingPosition {
            batch_size,
            drop_last,
            gradient_accumulation: gradient_accumulation as usize,
            optimizer: self.settings.optimizer,
            epoch: self.counts.dataset_steps / steps_per_epoch,
            row_in_epoch: self.counts.dataset_steps % steps_per_epoch * batch_size as u64,
            resume_offset: self.step_generator().resume_offset,
        }
    }

    /// Sets the step counters to continue from the position of a checkpoint, and returns whether the batch settings
    /// have changed.
    ///
    /// After a change the training continues at the start of the next epoch, with the same number of updates and
    /// epochs.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the batch settings have changed and the position is within an epoch or an update.
    fn resume_position(&mut self, counts: &CheckpointCounts, position: &TrainingPosition) -> Result<bool> {
        let (old, new) = (BatchSettings::of_position(position), self.batch_settings());
        let same_batches = !self.data.is_present || (old.batch_size, old.drop_last) == (new.batch_size, new.drop_last);
        self.counts.dataset_steps = counts.dataset_steps;
        self.counts.total_steps = counts.total_steps;
        self.counts.steps_since_reset = counts.steps_since_reset;
        self.engine.set_resume_offset(position.resume_offset);
        if same_batches && old.gradient_accumulation == new.gradient_accumulation {
            return Ok(false);
        }
        self.check_batch_change(counts, position)?;
        // Count the epochs of the schedule with the old settings. The schedule restarts when parameters are set.
        let old_generator = StepGenerator {
            batch_size: old.batch_size,
            drop_last: old.drop_last,
            gradient_accumulation: old.gradient_accumulation,
            ..self.step_generator().clone()
        };
        self.engine.set_resume_offset(ResumeOffset {
            updates: old_generator.update_number(counts.steps_since_reset) - 1,
            epochs: old_generator.epochs_after(counts.steps_since_reset),
        });
        let new_steps = position.epoch.checked_mul(self.step_generator().steps_per_epoch());
        let dataset_steps = match new_steps {
            Some(steps) if self.data.is_present && steps <= MAX_STEPS => steps,
            Some(_) | None => counts.dataset_steps,
        };
        self.counts.dataset_steps = dataset_steps;
        self.counts.total_steps = counts.total_steps - counts.dataset_steps + dataset_steps;
        self.counts.steps_since_reset = 0;
        Ok(true)
    }

    /// Returns an error if the batch settings cannot change at the position of a checkpoint.
    fn check_batch_change(&self, counts: &CheckpointCounts, position: &TrainingPosition) -> Result<()> {
        let (old, new) = (BatchSettings::of_position(position), self.batch_settings());
        let changed_within = |part: String| {
            let (expected, got) = (format!("{old} as in the checkpoint"), format!("{new}; {part}"));
            Err(Error::InvalidSetting { name: "checkpoint settings", expected, got })
        };
        if position.row_in_epoch > 0 {
            return changed_within(format!(
                "the checkpoint was taken {} rows into epoch {}, take one at the end of an epoch to change them",
                position.row_in_epoch,
                position.epoch + 1
            ));
        }
        let waiting = counts.steps_since_reset % old.gradient_accumulation;
        if waiting > 0 {
            return changed_within(format!(
                "the checkpoint was taken after {waiting} of {} batches of an update, take one after an update to change \
                 them",
                old.gradient_accumulation
            ));
        }
        let schedule = &self.step_generator().schedule;
        if schedule.counts_epochs_after_warmup() {
            let expected = "a schedule that counts no epochs after a warmup, because batch_size, drop_last or \
                            gradient_accumulation differ from the checkpoint";
            let got = format!("{schedule:?}; set these three as in the checkpoint, or use another schedule");
            return Err(Error::InvalidSetting { name: "schedule", expected: expected.to_owned(), got });
        }
        Ok(())
    }

    /// Splits a training state into the parameters and the optimizer state, layer by layer.
    fn unpack(&self, state: TrainingState) -> (Vec<LayerParameters>, OptimizerState) {
        let layout = self.network.layout();
        let parameters = self.network.layers_from_flat(&state.parameters, &state.statistics);
        let vectors = state.optimizer_state.iter().map(|vector| layout.to_layers(vector)).collect();
        let accumulated_gradients = state.accumulated_gradients.map(|gradients| layout.to_layers(&gradients));
        (parameters, OptimizerState { vectors, accumulated_gradients })
    }

    /// Sets the training state from the parameters and the optimizer state, layer by layer.
    fn set_training_state(&mut self, parameters: &[LayerParameters], state: &OptimizerState) {
        let layout = self.network.layout();
        // A checkpoint without gradient accumulation stores no gradients: no batch waits for an update.
        let accumulated_gradients = match &state.accumulated_gradients {
            _ if self.step_generator().gradient_accumulation == 1 => None,
            Some(gradients) => Some(layout.to_flat(gradients)),
            None => Some(vec![0.0; layout.len]),
        };
        let training_state = TrainingState {
            parameters: layout.to_flat(parameters),
            statistics: self.network.statistics(parameters),
            optimizer_state: state.vectors.iter().map(|vector| layout.to_flat(vector)).collect(),
            accumulated_gradients,
        };
        self.engine.set_training_state(&training_state);
    }
}

/// The settings that decide which rows a step and an update consist of.
#[derive(Clone, Copy)]
struct BatchSettings {
    batch_size: usize,
    drop_last: bool,
    gradient_accumulation: u64,
}

impl BatchSettings {
    const fn of_position(position: &TrainingPosition) -> Self {
        Self {
            batch_size: position.batch_size,
            drop_last: position.drop_last,
            gradient_accumulation: position.gradient_accumulation as u64,
        }
    }
}

impl fmt::Display for BatchSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch_size, drop_last, gradient_accumulation } = self;
        write!(f, "batch_size {batch_size}, drop_last {drop_last}, gradient_accumulation {gradient_accumulation}")
    }
}

/// Returns an error if the number of rows of the data set differs from the checkpoint's. `None` stands for no data set.
fn check_rows(checkpoint_rows: Option<usize>, rows: Option<usize>) -> Result<()> {
    if rows == checkpoint_rows {
        return Ok(());
    }
    let describe = |rows: Option<usize>| rows.map_or("no data set".to_owned(), |rows| format!("{rows} rows"));
    let (expected, got) = (format!("{} as in the checkpoint", describe(checkpoint_rows)), describe(rows));
    Err(Error::InvalidSetting { name: "data", expected, got })
}
