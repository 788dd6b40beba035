//! What a network answers, and how good that is.

use std::ops::Range;

use super::{Trainer, Worker};
use crate::{Dataset, Metrics, Result, judge::Judge, scaling::scaled};

impl Trainer {
    /// [`Trainer::predict`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        self.byte_scale.look_at(inputs);
        let inputs = scaled(self.scaler.as_deref(), inputs);
        self.outputs(&inputs).await
    }

    /// The outputs for rows of inputs that are scaled already.
    pub(crate) async fn predict_scaled(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        self.outputs(inputs).await
    }

    /// The outputs for inputs that are scaled already.
    async fn outputs(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        match &mut self.engine {
            Worker::Gpu(engine) => engine.predict(inputs).await,
            Worker::Cpu(engine, _) => Ok(engine.predict(inputs)),
        }
    }

    /// [`Trainer::evaluate`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::evaluate`].
    pub async fn evaluate_async(&mut self, data: &Dataset) -> Result<Metrics> {
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        data.check_for(inputs, outputs)?;
        data.check_scale(self.byte_scale.scale)?;
        let data = &data.scaled_as(self.scaler())?;
        let learned = self.task_by_hand.filter(|_| !self.has_data).unwrap_or(self.task);
        let task = learned.of_evaluation(&self.network, self.course.loss, data.answers());
        let mut judge = Judge::new(self.course.loss, task, data, &self.network);
        match &mut self.engine {
            Worker::Cpu(engine, _) => judge.all(|inputs| engine.predict(inputs)),
            Worker::Gpu(engine) => {
                let mut judged = Ok(());
                let take = |rows: Range<usize>, y: Vec<f32>| {
                    let more = judge.rows(rows, y);
                    judged = judged.clone().and(more);
                };
                engine.evaluate(data, take).await?;
                judged?;
                Ok(judge.metrics)
            }
        }
    }
}
