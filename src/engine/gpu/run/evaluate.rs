//! What the networks in training answer, and what that is worth.

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
    /// The outputs for any number of rows, those of one model after the other's.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.predictor().await?.predict(inputs).await
    }

    /// The outputs for all rows of a data set, some rows after the other; it stays on the device until another one is
    /// asked for.
    pub(crate) async fn predict_dataset(
        &mut self,
        data: &Dataset,
        take: impl FnMut(Range<usize>, Vec<f32>),
    ) -> Result<()> {
        let predictor = self.take_predictor().await?;
        let evaluator = match self.batch_loader.take().filter(|evaluator| evaluator.is_for(data)) {
            Some(made) => made,
            None => {
                let held = self.dataset_location(data, false);
                BatchLoader::new(&self.gpu, predictor.forward(), &self.kernel_config, data, held).await?
            }
        };
        let evaluator = self.batch_loader.insert(evaluator);
        let predictor = self.predictor.insert(predictor);
        evaluator.predict_dataset(&self.gpu, predictor, take).await
    }

    /// What the networks of the first slots, as many as there are `rows`, are worth on these rows of a data set, judged on
    /// the device. The data set stays there until another one is asked for; `uploaded` may be the same one.
    pub(crate) async fn evaluate_metrics(
        &mut self,
        data: &Dataset,
        device_dataset: Option<DeviceDataset>,
        rows: &[Option<SubsetParams>],
        is_multi_label: bool,
    ) -> Result<Vec<MetricSums>> {
        let has_subsets = rows.iter().any(Option::is_some);
        let scorer = match self
            .device_evaluator
            .take()
            .filter(|scorer| scorer.is_for(data, has_subsets, is_multi_label))
        {
            Some(made) => made,
            None => {
                let held = match device_dataset {
                    Some(uploaded) => DatasetLocation::OnDevice(uploaded),
                    None => self.dataset_location(data, data.sample_weights().is_some()),
                };
                let Self { gpu, network, arenas, kernel_config: members, step_set, buffers, .. } = &*self;
                let how = (has_subsets, is_multi_label);
                DeviceEvaluator::new(gpu, (network, arenas.member_count), members, (step_set, buffers), data, held, how)
                    .await?
            }
        };
        let scorer = self.device_evaluator.insert(scorer);
        scorer.evaluate(&self.gpu, rows).await
    }

    /// The data set that the networks learn from, on the device.
    pub(crate) fn training_dataset(&self) -> Option<DeviceDataset> {
        self.device_dataset.clone()
    }

    /// The data set that was scored last, on the device.
    pub(crate) fn evaluated_dataset(&self) -> Option<DeviceDataset> {
        self.device_evaluator.as_ref().and_then(DeviceEvaluator::device_dataset).cloned()
    }

    /// Whether the device holds a data set: it may be the one that the networks learn from.
    fn dataset_location(&self, data: &Dataset, has_sample_weights: bool) -> DatasetLocation {
        match &self.device_dataset {
            Some(uploaded) if uploaded.is_for(data, has_sample_weights) => DatasetLocation::OnDevice(uploaded.clone()),
            _ if self.row_stream.as_ref().is_some_and(|stream| stream.is_for(data)) => DatasetLocation::MustStream,
            _ if must_stream(&self.gpu, data, has_sample_weights) => DatasetLocation::MustStream,
            _ => DatasetLocation::MayUpload,
        }
    }

    /// The predictor of these networks.
    pub(crate) async fn predictor(&mut self) -> Result<&mut Predictor> {
        let predictor = self.take_predictor().await?;
        Ok(self.predictor.insert(predictor))
    }

    /// The predictor, out of its place: made if it is not there.
    async fn take_predictor(&mut self) -> Result<Predictor> {
        if let Some(made) = self.predictor.take() {
            return Ok(made);
        }
        let Self { gpu, network, arenas, kernel_config: members, step_set, buffers, .. } = &*self;
        Predictor::new(gpu, (network, arenas.member_count), members, (step_set, buffers)).await
    }
}
