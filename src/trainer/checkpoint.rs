//! Trainings that are put aside and taken up again.

use std::collections::BTreeMap;

use super::{Trainer, Worker};
use crate::{
    Checkpoint, Dataset, Device, Error, History, LayerParameters, Model, Plan, Result,
    checkpoint::{Counts, Kept, State},
    memory::Memory,
};

impl Trainer {
    /// [`Trainer::model`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub async fn model_async(&self) -> Result<Model> {
        Ok(self.model_of(self.parameters_async().await?))
    }

    fn model_of(&self, parameters: Vec<LayerParameters>) -> Model {
        let (network, scaler) = (self.network.clone(), self.scaler().cloned());
        Model { network, parameters, scaler, byte_scale: self.byte_scale.scale, notes: BTreeMap::new() }
    }

    /// [`Trainer::checkpoint`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::checkpoint`].
    pub async fn checkpoint_async(&mut self) -> Result<Checkpoint> {
        self.collect_async().await?;
        let (now, before) = match &self.engine {
            Worker::Gpu(engine) => (engine.memory(0).await?, engine.kept_memory().await?),
            Worker::Cpu(engine, _) => (engine.memory(), engine.kept_memory()),
        };
        let (parameters, state) = self.unpacked(now);
        let kept = self.kept.zip(before).map(|(since, memory)| {
            let (parameters, state) = self.unpacked(memory);
            Kept { parameters, state, since }
        });
        let model = self.model_of(parameters);
        let mut settings = self.settings.clone();
        settings.plan = Some(Plan { table: Vec::new(), ..self.plan() });
        let counts = Counts {
            rows: self.has_data.then_some(self.course.rows),
            done: self.done,
            total: self.total,
            since: self.since,
            last_loss: self.last_loss,
        };
        Ok(Checkpoint { model, settings, history: History::default(), counts, state, kept })
    }

    /// [`Trainer::resume`], asynchronously.
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
        if let Some(Kept { parameters, state, since }) = kept {
            trainer.set_memory(parameters, state);
            trainer.keep_async().await?;
            trainer.kept = Some(*since);
        }
        trainer.set_memory(&model.parameters, state);
        (trainer.done, trainer.total, trainer.since) = (counts.done, counts.total, counts.since);
        trainer.last_loss = counts.last_loss;
        trainer.byte_scale = model.byte_scale.into();
        Ok(trainer)
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
            gradients: state.gradients.as_ref().map(|gradients| layout.flat(gradients)),
        };
        match &mut self.engine {
            Worker::Gpu(engine) => engine.set_memory(0, &memory),
            Worker::Cpu(engine, _) => engine.set_memory(&memory),
        }
    }
}
