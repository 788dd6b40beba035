//! Predictions and evaluations of the network in training.

use crate::{
    data::{dataset::Dataset, scaling::scaler::transform_inputs},
    error::Result,
    metrics::{Metrics, row_metrics::HostEvaluator},
    train::trainer::Trainer,
    util::blocking::blocking,
};
#[cfg(doc)]
use crate::{error::Error, nn::loss::Loss};

impl Trainer {
    blocking! {
        /// Returns the outputs, `[rows, outputs]`, for inputs `[rows, inputs]` of at least one row.
        ///
        /// With [`Loss::SoftmaxCrossEntropy`] the outputs are logits. If the data set has a scaler
        /// ([`Dataset::with_scaler`]), pass raw inputs: gradus scales them here and in every other call that takes
        /// inputs.
        ///
        /// For features from bytes ([`Features::bytes`](crate::data::Features::bytes)), pass `byte * scale`. gradus
        /// logs one warning if an input cannot be a scaled byte.
        ///
        /// # Errors
        /// - [`Error::Shape`] if the number of values is not a multiple of the number of inputs.
        /// - [`Error::NonFinite`] if an input is NaN or infinite.
        /// - [`Error::DeviceLost`] or [`Error::Timeout`] if the device fails.
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

    /// Returns the outputs for inputs that are already scaled.
    pub(crate) async fn predict_scaled(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        self.engine.predict(inputs).await
    }

    blocking! {
        /// Computes the loss and the metrics of the network on a data set, for example a test set.
        ///
        /// The scaler of the training data set scales the features, unless `data` has its own scaler.
        ///
        /// # Errors
        /// - [`Error::Shape`] or [`Error::ClassOutOfRange`] if the data set does not fit the network.
        /// - [`Error::InvalidSetting`] if the byte scale of the data set differs from the training data set's.
        /// - [`Error::Io`] if a file with rows cannot be read.
        /// - [`Error::DeviceLost`] or [`Error::Timeout`] if the device fails.
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
        let training_task = self.manual_task.filter(|_| !self.data.is_present).unwrap_or(self.data.task);
        let task = training_task.for_evaluation(&self.network, self.settings.loss, data.targets());
        let evaluator = HostEvaluator::new(self.settings.loss, task, data, &self.network);
        self.engine.evaluate(data, evaluator).await
    }
}
