//! Trainings that are put aside and taken up again.

use std::collections::BTreeMap;

#[cfg(doc)]
use crate::train::settings::Settings;
use crate::{
    data::dataset::Dataset,
    device::Device,
    engine::{
        state::Memory,
        step::{Course, Earlier},
    },
    error::{Error, Result},
    model::{
        Model,
        checkpoint::{Checkpoint, Counts, Kept, State, Taken},
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
        Ok(self.model_of(self.parameters_async().await?))
    }

    fn model_of(&self, parameters: Vec<LayerParameters>) -> Model {
        let (network, scaler) = (self.network.clone(), self.scaler().cloned());
        Model { network, parameters, scaler, byte_scale: self.data.byte_scale.scale, notes: BTreeMap::new() }
    }

    blocking! {
        /// The training as it stands, to save it and to go on later.
        ///
        /// # Errors
        /// As [`Trainer::losses`] and [`Trainer::parameters`].
        pub fn checkpoint(&mut self) -> Result<Checkpoint> = self.checkpoint_async();
    }

    /// The asynchronous form of [`Trainer::checkpoint`].
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`].
    pub async fn checkpoint_async(&mut self) -> Result<Checkpoint> {
        self.collect_async().await?;
        let now = self.engine.memory().await?;
        let before = self.engine.kept_memory().await?;
        let (parameters, state) = self.unpacked(now);
        let kept = self.counts.steps_of_snapshot.zip(before).map(|(since, memory)| {
            let (parameters, state) = self.unpacked(memory);
            Kept { parameters, state, since }
        });
        let model = self.model_of(parameters);
        let mut settings = self.settings.clone();
        settings.plan = Some(Plan { table: Vec::new(), ..self.plan() });
        let taken = self.taken();
        let counts = Counts {
            rows: self.data.is_present.then_some(self.course().rows),
            done: self.counts.dataset_steps,
            total: self.counts.total_steps,
            since: self.counts.steps_since_reset,
            last_loss: self.last_loss,
            taken: Some(taken),
        };
        Ok(Checkpoint { model, settings, history: History::default(), counts, taken, state, kept })
    }

    blocking! {
        /// A trainer that goes on where another one made a checkpoint. The data set has to be the same one, which is
        /// not checked but for its size; it is scaled as it was if it brings no scaling of its own.
        ///
        /// [`Checkpoint::settings`] may be changed before. A changed batch size, [`Settings::drop_last`] or
        /// accumulation needs a checkpoint from the end of an epoch, without accumulated batches that wait for an
        /// update: the next epoch then sees all rows, optimizers and schedules count on from the same number of
        /// updates, and schedules per epoch from the same number of epochs. [`Trainer::steps`] is then the number of
        /// steps that the same epochs have with the new batch size. What early stopping has kept can be restored; the
        /// schedule does not go back with it. Numbers of the optimizer (such as the learning rate) may change, its rule
        /// may not.
        ///
        /// # Errors
        /// As [`Trainer::new`]; [`Error::Setting`] for a changed batch size, `drop_last` or accumulation within an
        /// epoch or an update, or under a schedule that counts epochs after a warm-up, and for another rule of the
        /// optimizer; [`Error::Plan`] if the checkpoint's plan is for another device, driver, number of threads or
        /// version ([`Checkpoint`] says what to do), [`Error::Setting`] for a data set of another size or scaling.
        pub fn resume(device: &Device, checkpoint: &Checkpoint, data: Option<&Dataset>) -> Result<Self>
            = Self::resume_async(device, checkpoint, data);
    }

    /// The asynchronous form of [`Trainer::resume`].
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub async fn resume_async(device: &Device, checkpoint: &Checkpoint, data: Option<&Dataset>) -> Result<Self> {
        let Checkpoint { model, settings, counts, state, kept, .. } = checkpoint;
        checkpoint.check()?;
        let rows = |rows: Option<usize>| rows.map_or("no data set".to_owned(), |rows| format!("one of {rows} rows"));
        let got = data.map(Dataset::rows);
        if got != counts.rows {
            return Err(Error::Setting {
                what: "data set of the training",
                expected: rows(counts.rows),
                got: rows(got),
            });
        }
        data.map_or(Ok(()), |data| data.check_scale(model.byte_scale))?;
        let scaled = match (data, &model.scaler) {
            (Some(data), Some(scaler)) if data.scaler().is_none() => Some(data.clone().with_scaling(scaler)?),
            (Some(data), scaler) if data.scaler() != scaler.as_ref() => {
                let expected = "the checkpoint's, or none in the data set".to_owned();
                return Err(Error::Setting { what: "scaling of the data set", expected, got: "another".into() });
            }
            _ => None,
        };
        let data = scaled.as_ref().or(data);
        let mut trainer = Self::new_async(device, &model.network, data, settings.clone()).await?;
        let has_changed = trainer.go_on(counts, &checkpoint.taken)?;
        if let Some(Kept { parameters, state, since }) = kept {
            trainer.set_memory(parameters, state);
            trainer.keep_async().await?;
            // After a change the steps are counted anew.
            trainer.counts.steps_of_snapshot = Some(if has_changed { 0 } else { *since });
        }
        trainer.set_memory(&model.parameters, state);
        trainer.last_loss = counts.last_loss;
        trainer.data.byte_scale = model.byte_scale.into();
        Ok(trainer)
    }

    /// How its steps were taken, and where in the data set they end.
    fn taken(&self) -> Taken {
        let Course { batch, drop_last, accumulate, earlier, .. } = *self.course();
        let steps = self.course().steps_per_epoch();
        Taken {
            batch,
            drop_last,
            accumulate: accumulate as usize,
            optimizer: self.settings.optimizer,
            epoch: self.counts.dataset_steps / steps,
            row: self.counts.dataset_steps % steps * batch as u64,
            earlier,
        }
    }

    /// Goes on where a checkpoint's steps ended, if the settings take the steps in the same way; otherwise at the beginning of
    /// the epoch that follows, with the same number of updates and epochs behind it. Whether they do not.
    ///
    /// # Errors
    /// [`Error::Setting`] if they take them in another way, and the steps ended within an epoch or an update.
    fn go_on(&mut self, counts: &Counts, taken: &Taken) -> Result<bool> {
        let Course { batch, drop_last, accumulate, .. } = *self.course();
        let same_batches = !self.data.is_present || (batch, drop_last) == (taken.batch, taken.drop_last);
        let same_updates = accumulate == taken.accumulate as u64;
        self.counts.dataset_steps = counts.done;
        self.counts.total_steps = counts.total;
        self.counts.steps_since_reset = counts.since;
        self.engine.set_earlier(taken.earlier);
        if same_batches && same_updates {
            return Ok(false);
        }
        let wrong = |expected: String, got: String| {
            Err(Error::Setting {
                what: "batch size, drop_last and accumulation of a checkpoint's settings",
                expected,
                got,
            })
        };
        let batches = |batch: usize, drop_last: bool, accumulate: u64| {
            let dropped = if drop_last { ", the short last one dropped" } else { "" };
            format!("batches of {batch} rows{dropped}, {accumulate} to an update")
        };
        let was = batches(taken.batch, taken.drop_last, taken.accumulate as u64);
        if taken.row > 0 {
            let reason = format!("{} rows into epoch {}, so that others cannot start", taken.row, taken.epoch + 1);
            return wrong(
                format!("{was} (the checkpoint was taken {reason}: take one at the end of an epoch)"),
                batches(batch, drop_last, accumulate),
            );
        }
        let waiting = counts.since % taken.accumulate as u64;
        if waiting > 0 {
            let reason = format!("{waiting} of {} batches of an update are accumulated", taken.accumulate);
            return wrong(
                format!("{was} ({reason}: take a checkpoint after an update)"),
                batches(batch, drop_last, accumulate),
            );
        }
        if self.course().schedule.has_epochs_behind_warm_up() {
            let got = "one that counts epochs after a warm-up".to_owned();
            let expected = "one that does not count epochs after a warm-up, where the batch size changes".to_owned();
            return Err(Error::Setting { what: "schedule of a checkpoint's settings", expected, got });
        }
        // The epochs of the schedule, which starts anew where parameters are set.
        let before = Course {
            batch: taken.batch,
            drop_last: taken.drop_last,
            accumulate: taken.accumulate as u64,
            ..self.course().clone()
        };
        self.engine.set_earlier(Earlier {
            updates: before.update_after(counts.since) - 1,
            epochs: before.epochs_after(counts.since),
        });
        let steps = taken.epoch.checked_mul(self.course().steps_per_epoch()).filter(|steps| *steps <= 1 << 53);
        let done = steps.filter(|_| self.data.is_present).unwrap_or(counts.done);
        self.counts.dataset_steps = done;
        self.counts.total_steps = counts.total - counts.done + done;
        self.counts.steps_since_reset = 0;
        Ok(true)
    }

    /// What the engine has, layer by layer.
    fn unpacked(&self, memory: Memory) -> (Vec<LayerParameters>, State) {
        let layout = self.network.layout();
        let parameters = self.network.layers_of(&memory.parameters, &memory.statistics);
        let planes = memory.planes.iter().map(|plane| layout.layers(plane)).collect();
        (parameters, State { planes, gradients: memory.gradients.map(|gradients| layout.layers(&gradients)) })
    }

    /// Puts what was unpacked back.
    fn set_memory(&mut self, parameters: &[LayerParameters], state: &State) {
        let layout = self.network.layout();
        let memory = Memory {
            parameters: layout.flat(parameters),
            statistics: self.network.statistics(parameters),
            planes: state.planes.iter().map(|plane| layout.flat(plane)).collect(),
            // Where a checkpoint has none because it accumulated no batches, none wait for an update either.
            gradients: (self.course().accumulate > 1)
                .then(|| state.gradients.as_ref().map_or_else(|| vec![0.0; layout.len], |g| layout.flat(g))),
        };
        self.engine.set_memory(&memory);
    }
}
