//! What a network answers, and how good that is.

use crate::{
    data::{dataset::Dataset, scaling::transform_inputs},
    error::Result,
    metrics::{Metrics, row_metrics::HostEvaluator},
    train::trainer::Trainer,
    util::blocking::blocking,
};
#[cfg(doc)]
use crate::{error::Error, nn::loss::Loss};

impl Trainer {
    blocking! {
        /// The network's outputs, `[rows, outputs]`, for inputs `[rows, inputs]` of any number of rows from 1 up. For
        /// [`Loss::SoftmaxCrossEntropy`] they are logits. Where the data set is scaled ([`Dataset::with_scaler`]), raw
        /// inputs are brought here and scaled likewise, as in every call that takes inputs. Features that are bytes
        /// ([`Features::bytes`](crate::data::Features::bytes)) are passed as `byte * scale`; a warning is logged once for
        /// inputs that cannot be such numbers.
        ///
        /// # Errors
        /// [`Error::Shape`] if the values do not divide into rows, [`Error::NonFinite`], [`Error::DeviceLost`],
        /// [`Error::Timeout`].
        pub fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> = self.predict_async(inputs);
    }

    /// The asynchronous form of [`Trainer::predict`].
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        self.data.byte_scale.warn_if_unscaled(inputs);
        let inputs = transform_inputs(self.data.scaler.as_deref(), inputs);
        self.engine.predict(&inputs).await
    }

    /// The outputs for rows of inputs that are scaled already.
    pub(crate) async fn predict_scaled(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        self.engine.predict(inputs).await
    }

    blocking! {
        /// Loss, accuracy and what else there is to tell on a data set, one that training does not see for example. It
        /// is scaled as the training data are, unless it brings a scaling of its own.
        ///
        /// # Errors
        /// [`Error::Shape`] and [`Error::ClassOutOfRange`] if the data set does not fit the network, [`Error::Io`],
        /// [`Error::DeviceLost`], [`Error::Timeout`].
        pub fn evaluate(&mut self, data: &Dataset) -> Result<Metrics> = self.evaluate_async(data);
    }

    /// The asynchronous form of [`Trainer::evaluate`].
    ///
    /// # Errors
    /// As [`Trainer::evaluate`].
    pub async fn evaluate_async(&mut self, data: &Dataset) -> Result<Metrics> {
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        data.check_shape(inputs, outputs)?;
        data.check_scale(self.data.byte_scale.scale)?;
        let data = &data.with_model_scaler(self.scaler())?;
        let learned = self.manual_task.filter(|_| !self.data.is_present).unwrap_or(self.data.task);
        let task = learned.for_evaluation(&self.network, self.settings.loss, data.targets());
        let judge = HostEvaluator::new(self.settings.loss, task, data, &self.network);
        self.engine.evaluate(data, judge).await
    }
}
