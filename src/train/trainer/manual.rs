//! Manual steps: training steps and gradients on batches of the caller.

#[cfg(doc)]
use crate::train::settings::TrainerSettings;
use crate::{
    data::{dataset::check_sample_weights, noise, scaling::scaler::transform_inputs},
    engine::step::{Batch, Step, StepMetrics},
    error::{Error, Result, check_finite, check_len},
    nn::{parameters::LayerParameters, task::Task},
    train::{run_report::RunReport, trainer::Trainer},
    util::blocking::blocking,
};

/// The maximum number of manual steps whose metrics wait for [`Trainer::take_report`].
const MAX_PENDING_STEPS: usize = 1 << 20;

impl Trainer {
    /// Returns the factors by which dropout multiplies the outputs of each layer in the next manual step, on `rows`
    /// rows.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn next_dropout_factors(&self, rows: usize) -> Vec<Vec<f64>> {
        let step = self.step_generator().manual_step(rows, self.counts.steps_since_reset);
        self.network.dropout_factors(step.shuffle_key, step.first_position, step.rows)
    }

    blocking! {
        /// Runs one training step on a batch of the caller: a manual step.
        ///
        /// The batch has at most [`TrainerSettings::batch_size`] rows, or as many as the data set if that is smaller. A
        /// GPU works in the background: the function returns without waiting for it, and a later call reports a
        /// diverged loss.
        ///
        /// # Shapes
        /// - inputs: `[rows, inputs]`
        /// - targets: `[rows, outputs]`; a class id is a one-hot row
        ///
        /// # Errors
        /// - [`Error::Shape`] or [`Error::InvalidSetting`] if the batch has a wrong size.
        /// - [`Error::NonFinite`] if a value is NaN or infinite.
        /// - [`Error::Diverged`] if the loss of this step, or on a GPU of an earlier step, is NaN or infinite.
        /// - [`Error::DeviceLost`] or [`Error::Timeout`] if the device fails.
        #[doc(alias = "train_on_batch")]
        pub fn step(&mut self, inputs: &[f32], targets: &[f32]) -> Result<()> = self.step_async(inputs, targets);
    }

    /// The asynchronous form of [`Trainer::step`].
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn step_async(&mut self, inputs: &[f32], targets: &[f32]) -> Result<()> {
        self.step_batch(Batch { inputs, targets, sample_weights: None }).await
    }

    blocking! {
        /// Runs one training step like [`Trainer::step`], with one sample weight per row.
        ///
        /// The weight multiplies the loss of the row and its gradients. The mean is still over the number of rows. A
        /// step without sample weights on the same trainer uses the weight 1.
        ///
        /// # Shapes
        /// - sample_weights: `[rows]`, finite numbers >= 0
        ///
        /// # Errors
        /// - [`Error::InvalidState`] if the trainer does not accept sample weights; see
        ///   [`TrainerSettings::sample_weights`].
        /// - [`Error::InvalidSetting`] if a sample weight is negative or not finite.
        /// - [`Error::Shape`] if the number of sample weights differs from the number of rows.
        /// - The errors of [`Trainer::step`].
        #[doc(alias = "sample_weight")]
        pub fn step_weighted(&mut self, inputs: &[f32], targets: &[f32], sample_weights: &[f32]) -> Result<()>
            = self.step_weighted_async(inputs, targets, sample_weights);
    }

    /// The asynchronous form of [`Trainer::step_weighted`].
    ///
    /// # Errors
    /// As [`Trainer::step_weighted`].
    pub async fn step_weighted_async(&mut self, inputs: &[f32], targets: &[f32], sample_weights: &[f32]) -> Result<()> {
        self.step_batch(Batch { inputs, targets, sample_weights: Some(sample_weights) }).await
    }

    async fn step_batch(&mut self, batch: Batch<'_>) -> Result<()> {
        let step = self.check_batch(&batch)?;
        let inputs = transform_inputs(self.data.scaler.as_deref(), batch.inputs);
        let batch = Batch { inputs: &inputs, ..batch };
        if self.engine.must_collect() {
            self.collect_metrics_async().await?;
        }
        let noisy = self.add_input_noise(batch.inputs, step.shuffle_key);
        let batch = Batch { inputs: noisy.as_deref().unwrap_or(batch.inputs), ..batch };
        let task = self.data.task.for_batch(&self.network, self.settings.loss, batch.targets);
        self.manual_task = self.manual_task.max(Some(task));
        self.counts.total_steps += 1;
        self.counts.steps_since_reset += 1;
        match self.engine.step(batch, step).await? {
            Some(metrics) => {
                let report = self.step_report(metrics);
                self.append_and_check(&report)
            }
            None => Ok(()),
        }
    }

    blocking! {
        /// Waits for all manual and recorded steps, and returns their report since the last call.
        ///
        /// The report holds at most the last 1,048,576 steps.
        ///
        /// # Errors
        /// As [`Trainer::run`].
        pub fn take_report(&mut self) -> Result<RunReport> = self.take_report_async();
    }

    /// The asynchronous form of [`Trainer::take_report`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn take_report_async(&mut self) -> Result<RunReport> {
        self.collect_metrics_async().await?;
        let empty = self.manual_report();
        let mut report = std::mem::replace(&mut self.pending_report, empty);
        report.truncate_to_last(MAX_PENDING_STEPS);
        Ok(report)
    }

    blocking! {
        /// Returns the loss of the last step, computed before its update.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] if the trainer has not run a step yet.
        /// - The errors of [`Trainer::run`].
        pub fn last_loss(&mut self) -> Result<f32> = self.last_loss_async();
    }

    /// The asynchronous form of [`Trainer::last_loss`].
    ///
    /// # Errors
    /// As [`Trainer::last_loss`].
    pub async fn last_loss_async(&mut self) -> Result<f32> {
        self.collect_metrics_async().await?;
        let message = "this trainer has no loss yet; run a step first";
        self.last_loss.ok_or_else(|| Error::InvalidState { message: message.to_owned() })
    }

    blocking! {
        /// Computes the gradients of the loss on a batch of the caller, with the shapes of [`Trainer::step`].
        ///
        /// The trainer does not change.
        ///
        /// # Errors
        /// As [`Trainer::step`].
        pub fn gradients(&mut self, inputs: &[f32], targets: &[f32]) -> Result<Vec<LayerParameters>>
            = self.gradients_async(inputs, targets);
    }

    /// The asynchronous form of [`Trainer::gradients`].
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn gradients_async(&mut self, inputs: &[f32], targets: &[f32]) -> Result<Vec<LayerParameters>> {
        self.batch_gradients(Batch { inputs, targets, sample_weights: None }).await
    }

    blocking! {
        /// Computes gradients like [`Trainer::gradients`], with one sample weight per row as in
        /// [`Trainer::step_weighted`].
        ///
        /// # Errors
        /// As [`Trainer::step_weighted`].
        pub fn gradients_weighted(
            &mut self,
            inputs: &[f32],
            targets: &[f32],
            sample_weights: &[f32],
        ) -> Result<Vec<LayerParameters>> = self.gradients_weighted_async(inputs, targets, sample_weights);
    }

    /// The asynchronous form of [`Trainer::gradients_weighted`].
    ///
    /// # Errors
    /// As [`Trainer::step_weighted`].
    pub async fn gradients_weighted_async(
        &mut self,
        inputs: &[f32],
        targets: &[f32],
        sample_weights: &[f32],
    ) -> Result<Vec<LayerParameters>> {
        self.batch_gradients(Batch { inputs, targets, sample_weights: Some(sample_weights) }).await
    }

    async fn batch_gradients(&mut self, batch: Batch<'_>) -> Result<Vec<LayerParameters>> {
        let step = self.check_batch(&batch)?;
        let inputs = transform_inputs(self.data.scaler.as_deref(), batch.inputs);
        let batch = Batch { inputs: &inputs, ..batch };
        let flat = self.engine.gradients(batch, step).await?;
        Ok(self.network.layout().to_layers(&flat))
    }

    /// Creates an empty report of manual steps.
    ///
    /// The trainer decides before the first batch whether it counts correct rows of classes or of labels. The report
    /// has an accuracy only if the targets of all batches so far are of that kind.
    fn manual_report(&self) -> RunReport {
        let counted_task = if self.step_generator().is_multi_label { Task::MultiLabel } else { Task::Classification };
        RunReport::new(self.manual_task == Some(counted_task))
    }

    /// Returns the inputs of a manual step with input noise. `None` if the settings have no noise.
    fn add_input_noise(&self, inputs: &[f32], key: [u32; 2]) -> Option<Vec<f32>> {
        let std = self.settings.input_noise_std as f32;
        if std <= 0.0 {
            return None;
        }
        let mut noisy = inputs.to_vec();
        for (position, row) in (0..).zip(noisy.chunks_exact_mut(self.network.inputs())) {
            noise::add_noise(std, key, position, row);
        }
        Some(noisy)
    }

    /// Checks a batch of the caller, and returns its step.
    fn check_batch(&self, batch: &Batch<'_>) -> Result<Step> {
        let Batch { inputs, targets, sample_weights } = *batch;
        let rows = self.network.check_inputs(inputs)?;
        if rows > self.step_generator().batch_size {
            let expected = format!("1 to {} rows, the batch_size of the trainer", self.step_generator().batch_size);
            return Err(Error::InvalidSetting { name: "inputs", expected, got: rows.to_string() });
        }
        if self.network.has_batch_norm() {
            crate::nn::normalization::check_batch_size(rows)?;
        }
        check_len("targets", rows * self.network.outputs(), targets.len())?;
        check_finite("targets", self.network.outputs(), targets)?;
        if let Some(sample_weights) = sample_weights {
            if !self.data.has_sample_weights {
                let message = "this trainer does not accept sample weights; set TrainerSettings::sample_weights, or use a \
                               data set with sample weights";
                return Err(Error::InvalidState { message: message.to_owned() });
            }
            check_sample_weights(rows, sample_weights)?;
        }
        Ok(self.step_generator().manual_step(rows, self.counts.steps_since_reset))
    }

    /// Reads the metrics of the manual steps that the device still holds.
    pub(crate) async fn collect_metrics_async(&mut self) -> Result<()> {
        let collected = self.engine.collect_metrics().await?;
        if collected.is_empty() {
            return Ok(());
        }
        let mut report = self.manual_report();
        for metrics in collected {
            report.extend(&self.step_report(metrics));
        }
        self.append_and_check(&report)
    }

    /// Returns the report of one manual step.
    fn step_report(&self, metrics: StepMetrics) -> RunReport {
        let mut report = self.manual_report();
        report.push(metrics.loss, metrics.correct, metrics.rows);
        report.batch_weights.extend(metrics.sample_weight_sum);
        report
    }

    /// Appends the report of the last steps to the pending report of [`Trainer::take_report`], and returns an error if
    /// a loss is NaN or infinite.
    pub(crate) fn append_and_check(&mut self, report: &RunReport) -> Result<()> {
        self.append(report);
        self.check_finite_losses(report)
    }

    /// Appends a report to the pending report of [`Trainer::take_report`].
    pub(crate) fn append(&mut self, report: &RunReport) {
        self.pending_report.extend(report);
        // Truncate rarely, because it moves all remaining steps to the front.
        if self.pending_report.losses.len() >= 2 * MAX_PENDING_STEPS {
            self.pending_report.truncate_to_last(MAX_PENDING_STEPS);
        }
    }
}
