//! Predictions and evaluations of the members in training.

use std::ops::Range;

use crate::{
    data::{dataset::Dataset, subset::SubsetParams},
    engine::gpu::{
        data::{dataset::DeviceDataset, stream::must_stream},
        run::{
            engine::Engine,
            inference::{
                evaluator::{BatchLoader, DatasetLocation, DeviceEvaluator},
                predictor::Predictor,
            },
        },
    },
    error::Result,
    metrics::MetricSums,
};

impl Engine {
    /// Returns the outputs for any number of rows, member by member.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.predictor().await?.predict(inputs).await
    }

    /// Computes the outputs for all rows of a data set. `take` receives a range of rows and their outputs, batch by
    /// batch.
    ///
    /// The data set stays on the device until the next call with a different data set.
    pub(crate) async fn predict_dataset(
        &mut self,
        data: &Dataset,
        take: impl FnMut(Range<usize>, Vec<f32>),
    ) -> Result<()> {
        let predictor = self.take_predictor().await?;
        let loader = match self.batch_loader.take().filter(|loader| loader.is_for(data)) {
            Some(loader) => loader,
            None => {
                let location = self.dataset_location(data, false);
                BatchLoader::new(&self.gpu, predictor.forward(), &self.kernel_config, data, location).await?
            }
        };
        let loader = self.batch_loader.insert(loader);
        let predictor = self.predictor.insert(predictor);
        loader.predict_dataset(&self.gpu, predictor, take).await
    }

    /// Computes the metrics of the members in the first `subsets.len()` slots, on the device. `None` evaluates a member
    /// on all rows of the data set.
    ///
    /// The data set stays on the device until the next call with a different data set. `device_dataset` is the same
    /// data set, if it is already uploaded.
    pub(crate) async fn evaluate_metrics(
        &mut self,
        data: &Dataset,
        device_dataset: Option<DeviceDataset>,
        subsets: &[Option<SubsetParams>],
        is_multi_label: bool,
    ) -> Result<Vec<MetricSums>> {
        let has_subsets = subsets.iter().any(Option::is_some);
        let is_reusable = |evaluator: &DeviceEvaluator| evaluator.is_for(data, has_subsets, is_multi_label);
        let evaluator = match self.device_evaluator.take().filter(is_reusable) {
            Some(evaluator) => evaluator,
            None => {
                let location = match device_dataset {
                    Some(dataset) => DatasetLocation::OnDevice(dataset),
                    None => self.dataset_location(data, data.sample_weights().is_some()),
                };
                let Self { gpu, network, arenas, kernel_config, step_set, buffers, .. } = &*self;
                let networks = (network, arenas.member_count);
                let options = (has_subsets, is_multi_label);
                DeviceEvaluator::new(gpu, networks, kernel_config, (step_set, buffers), data, location, options).await?
            }
        };
        let evaluator = self.device_evaluator.insert(evaluator);
        evaluator.evaluate(&self.gpu, subsets).await
    }

    /// Returns the training data set on the device, if the device holds it.
    pub(crate) fn training_dataset(&self) -> Option<DeviceDataset> {
        self.device_dataset.clone()
    }

    /// Returns the data set of the last evaluation on the device, if the device holds it.
    pub(crate) fn evaluated_dataset(&self) -> Option<DeviceDataset> {
        self.device_evaluator.as_ref().and_then(DeviceEvaluator::device_dataset).cloned()
    }

    /// Returns whether the device already holds a data set, may upload it, or must stream it. An evaluation shares the
    /// buffers of the training data set.
    fn dataset_location(&self, data: &Dataset, has_sample_weights: bool) -> DatasetLocation {
        match &self.device_dataset {
            Some(dataset) if dataset.is_for(data, has_sample_weights) => DatasetLocation::OnDevice(dataset.clone()),
            _ if self.row_stream.as_ref().is_some_and(|stream| stream.is_for(data)) => DatasetLocation::MustStream,
            _ if must_stream(&self.gpu, data, has_sample_weights) => DatasetLocation::MustStream,
            _ => DatasetLocation::MayUpload,
        }
    }

    /// Returns the predictor of the members; creates it at the first call.
    pub(crate) async fn predictor(&mut self) -> Result<&mut Predictor> {
        let predictor = self.take_predictor().await?;
        Ok(self.predictor.insert(predictor))
    }

    /// Takes the predictor out of its field, or creates one.
    async fn take_predictor(&mut self) -> Result<Predictor> {
        if let Some(predictor) = self.predictor.take() {
            return Ok(predictor);
        }
        let Self { gpu, network, arenas, kernel_config, step_set, buffers, .. } = &*self;
        Predictor::new(gpu, (network, arenas.member_count), kernel_config, (step_set, buffers)).await
    }
}
