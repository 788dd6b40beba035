//! Predictions and evaluations of the members of a population.

#[cfg(doc)]
use crate::train::trainer::Trainer;
use crate::{
    data::{dataset::Dataset, scaling::scaler::transform_inputs, subset::Subset},
    engine::population::evaluation::{EvaluationSet, EvaluationSettings, EvaluationTask},
    error::{Error, Result, check_len},
    metrics::Metrics,
    population::Population,
    train::policies::monitor::Monitor,
    util::blocking::blocking,
};

impl Population {
    blocking! {
        /// Returns the outputs of every member, of shape `[rows, outputs]`, for raw inputs of shape `[rows, inputs]`.
        ///
        /// # Errors
        /// The errors of [`Trainer::predict`].
        pub fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> = self.predict_async(inputs);
    }

    /// The asynchronous form of [`Population::predict`].
    ///
    /// # Errors
    /// As [`Population::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        self.network.check_inputs(inputs)?;
        self.byte_scale.warn_if_unscaled(inputs);
        let inputs = transform_inputs(self.data.scaler(), inputs);
        self.backend.predict(&inputs).await
    }

    blocking! {
        /// Returns the metrics of every member on a data set.
        ///
        /// A GPU computes the metrics in f32 and returns a few numbers per member. The data set stays on the device
        /// until another one is evaluated. The scaler of the training data applies, unless the data set has its own.
        ///
        /// # Errors
        /// - [`Error::DeviceLimit`] if the data set does not fit on the device.
        /// - The errors of [`Trainer::evaluate`].
        pub fn evaluate(&mut self, data: &Dataset) -> Result<Vec<Metrics>> = self.evaluate_async(data);
    }

    /// The asynchronous form of [`Population::evaluate`].
    ///
    /// # Errors
    /// As [`Population::evaluate`].
    pub async fn evaluate_async(&mut self, data: &Dataset) -> Result<Vec<Metrics>> {
        let all: Vec<_> = (0..self.members.len()).map(|member| (member, Subset::All)).collect();
        self.evaluate_members(data, &all).await
    }

    blocking! {
        /// Returns the metrics of every member on a subset of the training data, with one subset per member.
        ///
        /// For example, [`Subset::held_out`] gives the rows that a member is not trained on.
        ///
        /// # Errors
        /// - [`Error::Shape`] if the number of subsets differs from the number of members.
        /// - [`Error::InvalidSetting`] if the data set does not have the rows of a subset.
        /// - The errors of [`Population::evaluate`].
        pub fn evaluate_subsets(&mut self, rows: &[Subset]) -> Result<Vec<Metrics>> = self.evaluate_subsets_async(rows);
    }

    /// The asynchronous form of [`Population::evaluate_subsets`].
    ///
    /// # Errors
    /// As [`Population::evaluate_subsets`].
    pub async fn evaluate_subsets_async(&mut self, rows: &[Subset]) -> Result<Vec<Metrics>> {
        check_len("subsets", self.members.len(), rows.len())?;
        let all: Vec<_> = rows.iter().copied().enumerate().collect();
        let data = self.data.clone();
        self.evaluate_members(&data, &all).await
    }

    /// Returns the metrics of some members on a validation set. Without one, each member is evaluated on the rows of
    /// the training data that it is not trained on.
    pub(crate) async fn validate(&mut self, data: Option<&Dataset>, members: &[usize]) -> Result<Vec<Metrics>> {
        let mut subsets = Vec::with_capacity(members.len());
        for member in members {
            let subset = if data.is_some() { Subset::All } else { self.held_out_subset(*member)? };
            subsets.push((*member, subset));
        }
        let data = data.unwrap_or(&self.data).clone();
        self.evaluate_members(&data, &subsets).await
    }

    /// Returns the rows that a member is not trained on.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the member is not trained on [`Subset::TrainFold`].
    pub(crate) fn held_out_subset(&self, member: usize) -> Result<Subset> {
        let subset = self.members[member].subset;
        subset.held_out().ok_or_else(|| Error::InvalidSetting {
            name: "Validation::HeldOutFold",
            expected: "Subset::TrainFold in every member".into(),
            got: format!("Subset::{subset:?} in member {member}; pass a validation set instead"),
        })
    }

    /// Evaluates members, each on a subset of a data set.
    async fn evaluate_members(&mut self, data: &Dataset, subsets: &[(usize, Subset)]) -> Result<Vec<Metrics>> {
        data.check_shape(self.network.inputs(), self.network.outputs())?;
        data.check_scale(self.byte_scale.scale)?;
        let mut evaluation_set = match self.evaluation_set.take() {
            Some(cached) if cached.is_for(data) => cached,
            _ => EvaluationSet::new(data, data.with_model_scaler(self.data.scaler())?),
        };
        for (_, subset) in subsets {
            evaluation_set.prepare(*subset, self.backend.evaluates_on_host())?;
        }
        let task = |(member, subset): &(usize, Subset)| {
            Some(EvaluationTask { member: *member, subset: evaluation_set.subset(*subset)? })
        };
        let tasks: Vec<_> = subsets.iter().filter_map(task).collect();
        let loss = self.members[0].settings.loss;
        let settings = EvaluationSettings {
            network: &self.network,
            loss,
            task: self.task.for_evaluation(&self.network, loss, data.targets()),
        };
        let metrics = self.backend.evaluate(&evaluation_set.data, &tasks, settings).await;
        self.evaluation_set = Some(evaluation_set);
        metrics
    }

    /// Returns an error if the members do not have a monitored metric on the validation set. `None` stands for the rows
    /// that each member is not trained on.
    pub(crate) fn check_monitor(&self, monitor: Monitor, validation: Option<&Dataset>) -> Result<()> {
        let (loss, training) = (self.members[0].settings.loss, self.data.targets());
        let validation = validation.map_or(training, Dataset::targets);
        monitor.check_for(&self.network, loss, Some(training), Some(validation))
    }
}
