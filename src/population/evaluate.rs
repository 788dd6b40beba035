//! What the networks answer, and how good that is.

#[cfg(doc)]
use crate::train::trainer::Trainer;
use crate::{
    data::{dataset::Dataset, scaling::transform_inputs, subset::Subset},
    engine::population::evaluation::{EvaluationSet, EvaluationSettings, EvaluationTask},
    error::{Error, Result, check_len},
    metrics::Metrics,
    population::Population,
    train::policies::Monitor,
    util::blocking::blocking,
};

impl Population {
    blocking! {
        /// The outputs of every network, `[rows, outputs]` each, for raw inputs `[rows, inputs]` of any number of rows.
        ///
        /// # Errors
        /// As [`Trainer::predict`].
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
        /// What every network is worth on a data set, which stays on the device until another one is asked for; there
        /// it is judged, in 32 bits, and a few numbers a network come back. It is scaled as the training data are,
        /// unless it brings a scaling of its own.
        ///
        /// # Errors
        /// As [`Trainer::evaluate`]; [`Error::DeviceLimit`] where it does not fit.
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
        /// What every network is worth on rows of the data set that it learns from: for each network its own, such as
        /// [`Subset::held_out`] of its rows.
        ///
        /// # Errors
        /// [`Error::Shape`] if there are not as many as networks, [`Error::InvalidSetting`] for rows that are none, and as
        /// [`Population::evaluate`].
        pub fn evaluate_subsets(&mut self, rows: &[Subset]) -> Result<Vec<Metrics>> = self.evaluate_subsets_async(rows);
    }

    /// The asynchronous form of [`Population::evaluate_subsets`].
    ///
    /// # Errors
    /// As [`Population::evaluate_subsets`].
    pub async fn evaluate_subsets_async(&mut self, rows: &[Subset]) -> Result<Vec<Metrics>> {
        check_len("rows of the networks", self.members.len(), rows.len())?;
        let all: Vec<_> = rows.iter().copied().enumerate().collect();
        let data = self.data.clone();
        self.evaluate_members(&data, &all).await
    }

    /// What some networks are worth, each on some rows of a data set; on those of its own training set that it was trained
    /// without, if no data set is given.
    pub(crate) async fn validate(&mut self, data: Option<&Dataset>, members: &[usize]) -> Result<Vec<Metrics>> {
        if let Some(data) = data {
            let all: Vec<_> = members.iter().map(|member| (*member, Subset::All)).collect();
            return self.evaluate_members(data, &all).await;
        }
        let all =
            members.iter().map(|member| Ok((*member, self.held_out_subset(*member)?))).collect::<Result<Vec<_>>>()?;
        let data = self.data.clone();
        self.evaluate_members(&data, &all).await
    }

    /// The rows that a network is trained without.
    pub(crate) fn held_out_subset(&self, member: usize) -> Result<Subset> {
        let none = || Error::InvalidSetting {
            name: "rows of a network that leave some out",
            expected: "Rows::WithoutFold".into(),
            got: format!("other rows in number {member}"),
        };
        self.members[member].subset.held_out().ok_or_else(none)
    }

    async fn evaluate_members(&mut self, data: &Dataset, rows: &[(usize, Subset)]) -> Result<Vec<Metrics>> {
        data.check_shape(self.network.inputs(), self.network.outputs())?;
        data.check_scale(self.byte_scale.scale)?;
        let mut tested = match self.evaluation_set.take() {
            Some(tested) if tested.is_for(data) => tested,
            _ => EvaluationSet::new(data, data.with_model_scaler(self.data.scaler())?),
        };
        for (_, rows) in rows {
            tested.prepare(*rows, self.backend.evaluates_on_host())?;
        }
        let test =
            |(member, rows): &(usize, Subset)| Some(EvaluationTask { member: *member, subset: tested.subset(*rows)? });
        let tests: Vec<_> = rows.iter().filter_map(test).collect();
        let loss = self.members[0].settings.loss;
        let task = self.task.for_evaluation(&self.network, loss, data.targets());
        let judging = EvaluationSettings { network: &self.network, loss, task };
        let metrics = self.backend.evaluate(&tested.data, &tests, judging).await;
        self.evaluation_set = Some(tested);
        metrics
    }

    /// Refuses to watch what these networks do not have on the rows that validate: those of a data set, or the rows that each was
    /// trained without.
    pub(crate) fn check_monitor(&self, monitor: Monitor, validation: Option<&Dataset>) -> Result<()> {
        let (loss, training) = (self.members[0].settings.loss, self.data.targets());
        let validation = validation.map_or(training, Dataset::targets);
        monitor.check_for(&self.network, loss, Some(training), Some(validation))
    }
}
