//! Trainings that are put aside and taken up again.

use std::collections::BTreeMap;

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
        checkpoint::{Checkpoint, CheckpointCounts, OptimizerState, Snapshot, TrainingPosition},
    },
    nn::layout::LayerParameters,
    plan::Plan,
    train::{history::History, trainer::Trainer},
    util::blocking::blocking,
};

impl Trainer {
    blocking! {
        /// The network with its parameters and what scales its inputs, to save, export or predict with.
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
        /// The training as it stands, to save it and to go on later.
        ///
        /// # Errors
        /// As [`Trainer::take_report`] and [`Trainer::parameters`].
        pub fn checkpoint(&mut self) -> Result<Checkpoint> = self.checkpoint_async();
    }

    /// The asynchronous form of [`Trainer::checkpoint`].
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`].
    pub async fn checkpoint_async(&mut self) -> Result<Checkpoint> {
        self.collect_metrics_async().await?;
        let now = self.engine.training_state().await?;
        let before = self.engine.snapshot_state().await?;
        let (parameters, state) = self.unpack(now);
        let kept = self.counts.snapshot_steps.zip(before).map(|(since, memory)| {
            let (parameters, state) = self.unpack(memory);
            Snapshot { parameters, state, steps_since_reset: since }
        });
        let model = self.build_model(parameters);
        let mut settings = self.settings.clone();
        settings.plan = Some(Plan { dispatches: Vec::new(), ..self.plan() });
        let taken = self.position();
        let counts = CheckpointCounts {
            dataset_rows: self.data.is_present.then_some(self.step_generator().rows),
            dataset_steps: self.counts.dataset_steps,
            total_steps: self.counts.total_steps,
            steps_since_reset: self.counts.steps_since_reset,
            last_loss: self.last_loss,
            position: Some(taken),
        };
        Ok(Checkpoint { model, settings, history: History::default(), counts, position: taken, state, snapshot: kept })
    }

    blocking! {
        /// A trainer that goes on where another one made a checkpoint. The data set has to be the same one, which is
        /// not checked but for its size; it is scaled as it was if it brings no scaling of its own.
        ///
        /// [`Checkpoint::settings`] may be changed before. A changed batch size, [`TrainerSettings::drop_last`] or
        /// accumulation needs a checkpoint from the end of an epoch, without accumulated batches that wait for an
        /// update: the next epoch then sees all rows, optimizers and schedules count on from the same number of
        /// updates, and schedules per epoch from the same number of epochs. [`Trainer::dataset_steps`] is then the number of
        /// steps that the same epochs have with the new batch size. What early stopping has kept can be restored; the
        /// schedule does not go back with it. Numbers of the optimizer (such as the learning rate) may change, its rule
        /// may not.
        ///
        /// # Errors
        /// As [`Trainer::new`]; [`Error::InvalidSetting`] for a changed batch size, `drop_last` or accumulation within an
        /// epoch or an update, or under a schedule that counts epochs after a warm-up, and for another rule of the
        /// optimizer; [`Error::InvalidPlan`] if the checkpoint's plan is for another device, driver, number of threads or
        /// version ([`Checkpoint`] says what to do), [`Error::InvalidSetting`] for a data set of another size or scaling.
        pub fn resume(device: &Device, checkpoint: &Checkpoint, data: Option<&Dataset>) -> Result<Self>
            = Self::resume_async(device, checkpoint, data);
    }

    /// The asynchronous form of [`Trainer::resume`].
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub async fn resume_async(device: &Device, checkpoint: &Checkpoint, data: Option<&Dataset>) -> Result<Self> {
        let Checkpoint { model, settings, counts, state, snapshot: kept, .. } = checkpoint;
        checkpoint.check()?;
        let rows = |rows: Option<usize>| rows.map_or("no data set".to_owned(), |rows| format!("one of {rows} rows"));
        let got = data.map(Dataset::rows);
        if got != counts.dataset_rows {
            return Err(Error::InvalidSetting {
                name: "data set of the training",
                expected: rows(counts.dataset_rows),
                got: rows(got),
            });
        }
        data.map_or(Ok(()), |data| data.check_scale(model.byte_scale))?;
        let scaled = match (data, &model.scaler) {
            (Some(data), Some(scaler)) if data.scaler().is_none() => Some(data.clone().with_scaler(scaler)?),
            (Some(data), scaler) if data.scaler() != scaler.as_ref() => {
                let expected = "the checkpoint's, or none in the data set".to_owned();
                return Err(Error::InvalidSetting { name: "scaling of the data set", expected, got: "another".into() });
            }
            _ => None,
        };
        let data = scaled.as_ref().or(data);
        let mut trainer = Self::new_async(device, &model.network, data, settings.clone()).await?;
        let has_changed = trainer.resume_position(counts, &checkpoint.position)?;
        if let Some(Snapshot { parameters, state, steps_since_reset: since }) = kept {
            trainer.set_training_state(parameters, state);
            trainer.snapshot_async().await?;
            // After a change the steps are counted anew.
            trainer.counts.snapshot_steps = Some(if has_changed { 0 } else { *since });
        }
        trainer.set_training_state(&model.parameters, state);
        trainer.last_loss = counts.last_loss;
        trainer.data.byte_scale = model.byte_scale.into();
        Ok(trainer)
    }

    /// How its steps were taken, and where in the data set they end.
    fn position(&self) -> TrainingPosition {
        let StepGenerator {
            batch_size: batch,
            drop_last,
            gradient_accumulation: accumulate,
            resume_offset: earlier,
            ..
        } = *self.step_generator();
        let steps = self.step_generator().steps_per_epoch();
        TrainingPosition {
            batch_size: batch,
            drop_last,
            gradient_accumulation: accumulate as usize,
            optimizer: self.settings.optimizer,
            epoch: self.counts.dataset_steps / steps,
            row_in_epoch: self.counts.dataset_steps % steps * batch as u64,
            resume_offset: earlier,
        }
    }

    /// Goes on where a checkpoint's steps ended, if the settings take the steps in the same way; otherwise at the beginning of
    /// the epoch that follows, with the same number of updates and epochs behind it. Whether they do not.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if they take them in another way, and the steps ended within an epoch or an update.
    fn resume_position(&mut self, counts: &CheckpointCounts, position: &TrainingPosition) -> Result<bool> {
        let StepGenerator { batch_size: batch, drop_last, gradient_accumulation: accumulate, .. } =
            *self.step_generator();
        let same_batches = !self.data.is_present || (batch, drop_last) == (position.batch_size, position.drop_last);
        let same_updates = accumulate == position.gradient_accumulation as u64;
        self.counts.dataset_steps = counts.dataset_steps;
        self.counts.total_steps = counts.total_steps;
        self.counts.steps_since_reset = counts.steps_since_reset;
        self.engine.set_resume_offset(position.resume_offset);
        if same_batches && same_updates {
            return Ok(false);
        }
        let wrong = |expected: String, got: String| {
            Err(Error::InvalidSetting {
                name: "batch size, drop_last and accumulation of a checkpoint's settings",
                expected,
                got,
            })
        };
        let batches = |batch: usize, drop_last: bool, accumulate: u64| {
            let dropped = if drop_last { ", the short last one dropped" } else { "" };
            format!("batches of {batch} rows{dropped}, {accumulate} to an update")
        };
        let was = batches(position.batch_size, position.drop_last, position.gradient_accumulation as u64);
        if position.row_in_epoch > 0 {
            let reason = format!(
                "{} rows into epoch {}, so that others cannot start",
                position.row_in_epoch,
                position.epoch + 1
            );
            return wrong(
                format!("{was} (the checkpoint was taken {reason}: take one at the end of an epoch)"),
                batches(batch, drop_last, accumulate),
            );
        }
        let waiting = counts.steps_since_reset % position.gradient_accumulation as u64;
        if waiting > 0 {
            let reason =
                format!("{waiting} of {} batches of an update are accumulated", position.gradient_accumulation);
            return wrong(
                format!("{was} ({reason}: take a checkpoint after an update)"),
                batches(batch, drop_last, accumulate),
            );
        }
        if self.step_generator().schedule.counts_epochs_after_warmup() {
            let got = "one that counts epochs after a warm-up".to_owned();
            let expected = "one that does not count epochs after a warm-up, where the batch size changes".to_owned();
            return Err(Error::InvalidSetting { name: "schedule of a checkpoint's settings", expected, got });
        }
        // The epochs of the schedule, which starts anew where parameters are set.
        let before = StepGenerator {
            batch_size: position.batch_size,
            drop_last: position.drop_last,
            gradient_accumulation: position.gradient_accumulation as u64,
            ..self.step_generator().clone()
        };
        self.engine.set_resume_offset(ResumeOffset {
            updates: before.update_number(counts.steps_since_reset) - 1,
            epochs: before.epochs_after(counts.steps_since_reset),
        });
        let steps =
            position.epoch.checked_mul(self.step_generator().steps_per_epoch()).filter(|steps| *steps <= 1 << 53);
        let done = steps.filter(|_| self.data.is_present).unwrap_or(counts.dataset_steps);
        self.counts.dataset_steps = done;
        self.counts.total_steps = counts.total_steps - counts.dataset_steps + done;
        self.counts.steps_since_reset = 0;
        Ok(true)
    }

    /// What the engine has, layer by layer.
    fn unpack(&self, state: TrainingState) -> (Vec<LayerParameters>, OptimizerState) {
        let layout = self.network.layout();
        let parameters = self.network.layers_from_flat(&state.parameters, &state.statistics);
        let planes = state.optimizer_state.iter().map(|plane| layout.to_layers(plane)).collect();
        (
            parameters,
            OptimizerState {
                vectors: planes,
                accumulated_gradients: state.accumulated_gradients.map(|gradients| layout.to_layers(&gradients)),
            },
        )
    }

    /// Puts what was unpacked back.
    fn set_training_state(&mut self, parameters: &[LayerParameters], state: &OptimizerState) {
        let layout = self.network.layout();
        let memory = TrainingState {
            parameters: layout.to_flat(parameters),
            statistics: self.network.statistics(parameters),
            optimizer_state: state.vectors.iter().map(|plane| layout.to_flat(plane)).collect(),
            // Where a checkpoint has none because it accumulated no batches, none wait for an update either.
            accumulated_gradients: (self.step_generator().gradient_accumulation > 1).then(|| {
                state.accumulated_gradients.as_ref().map_or_else(|| vec![0.0; layout.len], |g| layout.to_flat(g))
            }),
        };
        self.engine.set_training_state(&memory);
    }
}
