//! What a network answers, and how good that is.

use std::ops::Range;

use super::{Trainer, Worker, classifies};
use crate::{Dataset, Metrics, Result, judge::Judge, scaling::scaled};

impl Trainer {
    /// [`Trainer::predict`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        let inputs = scaled(self.scaler.as_deref(), inputs);
        self.outputs(&inputs).await
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
        // What brings no scaling of its own is scaled as the training data.
        let own = match &self.scaler {
            Some(scaler) if data.scaler().is_none() => Some(data.clone().with_scaling(scaler)?),
            _ => None,
        };
        let data = own.as_ref().unwrap_or(data);
        let is_class = classifies(&self.network, self.course.loss, Some(data.answers()));
        let mut judge = Judge::new(self.course.loss, is_class, data, outputs);
        let ends_with_softmax = self.network.ends_with_softmax();
        let mut judged = Ok(());
        let mut take = |rows: Range<usize>, mut y: Vec<f32>| {
            if ends_with_softmax {
                // The loss is of logits, and these are as good as any: softmax forgets what is added to all of them.
                y.iter_mut().for_each(|y| *y = y.max(f32::MIN_POSITIVE).ln());
            }
            let more = judge.rows(rows, &y);
            judged = judged.clone().and(more);
        };
        match &mut self.engine {
            Worker::Gpu(engine) => engine.evaluate(data, take).await?,
            Worker::Cpu(engine, _) => {
                // So many rows are held as f32 at once: some 16 MiB.
                let at_once = ((4 << 20) / (inputs + outputs)).clamp(1, 16_384);
                for first in (0..data.rows()).step_by(at_once) {
                    let rows = first..(first + at_once).min(data.rows());
                    let mut features = vec![0.0; rows.len() * inputs];
                    let each = rows.clone().zip(features.chunks_exact_mut(inputs));
                    each.for_each(|(row, to)| data.write_features(row, to));
                    take(rows, engine.predict(&features));
                }
            }
        }
        judged?;
        Ok(judge.metrics)
    }
}
