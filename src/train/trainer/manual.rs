//! Batches that the caller brings: steps, their losses, and gradients.

#[cfg(doc)]
use crate::train::settings::TrainerSettings;
use crate::{
    data::{dataset::check_sample_weights, noise, scaling::transform_inputs},
    engine::step::{Batch, Step, StepMetrics},
    error::{Error, Result, check_finite, check_len},
    nn::{layout::LayerParameters, task::Task},
    train::{run_report::RunReport, trainer::Trainer},
    util::blocking::blocking,
};

/// So many steps are remembered of those that nobody has asked for.
const MAX_PENDING_STEPS: usize = 1 << 20;

impl Trainer {
    /// What dropout multiplies each layer's outputs by in the next step by hand, of so many rows.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn next_dropout_factors(&self, rows: usize) -> Vec<Vec<f64>> {
        let step = self.step_generator().manual_step(rows, self.counts.steps_since_reset);
        self.network.dropout_factors(step.shuffle_key, step.first_position, step.rows)
    }

    blocking! {
        /// Takes one step on a batch of the caller's, of any number of rows up to [`TrainerSettings::batch_size`] (or to that of
        /// the data set, if it has fewer). Does not wait for it: on a GPU, a loss that diverged is told by a later
        /// call.
        ///
        /// # Shapes
        /// - inputs: `[rows, inputs]`
        /// - expected: `[rows, outputs]`; a class id stands as a row of zeros with a one
        ///
        /// # Errors
        /// [`Error::Shape`] and [`Error::InvalidSetting`] for a batch of the wrong size, [`Error::NonFinite`] for one with
        /// values that are not finite numbers, and as [`Trainer::run`].
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
        /// [`Trainer::step`] with a weight for each row: so many times its loss and what it teaches count, while the
        /// mean still goes over the number of rows. On the same trainer a step without weights takes every row once.
        ///
        /// # Shapes
        /// - weights: `[rows]`, finite numbers from 0 up
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if neither [`TrainerSettings::sample_weights`] nor weights of the data set prepared the trainer for
        /// it, or for a weight that is none, [`Error::Shape`] if there is not one for each row, and as
        /// [`Trainer::step`].
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
        /// Losses and right answers of the steps by hand since the last call, of more than 1,048,576 the last. Waits
        /// for them.
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
        /// The loss of the last step's batch, before its update.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if there was no step yet, and as [`Trainer::run`].
        pub fn last_loss(&mut self) -> Result<f32> = self.last_loss_async();
    }

    /// The asynchronous form of [`Trainer::last_loss`].
    ///
    /// # Errors
    /// As [`Trainer::last_loss`].
    pub async fn last_loss_async(&mut self) -> Result<f32> {
        self.collect_metrics_async().await?;
        let none =
            || Error::InvalidSetting { name: "loss", expected: "at least one step".into(), got: "none yet".into() };
        self.last_loss.ok_or_else(none)
    }

    blocking! {
        /// The gradients of the loss on a batch of the caller's, shaped as for [`Trainer::step`]. Changes nothing.
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
        /// [`Trainer::gradients`] with a weight for each row, as [`Trainer::step_weighted`] takes them.
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

    /// Of no step by hand yet. What the steps count as right is decided before the first batch, so that there is an accuracy only
    /// where all batches so far are of that kind.
    fn manual_report(&self) -> RunReport {
        let counted = if self.step_generator().is_multi_label { Task::MultiLabel } else { Task::Classification };
        RunReport::new(self.manual_task == Some(counted))
    }

    /// The inputs of a step by hand with noise, if there is noise.
    fn add_input_noise(&self, inputs: &[f32], key: [u32; 2]) -> Option<Vec<f32>> {
        let deviation = self.settings.input_noise_std as f32;
        (deviation > 0.0).then(|| {
            let mut noisy = inputs.to_vec();
            let rows = noisy.chunks_exact_mut(self.network.inputs());
            (0..).zip(rows).for_each(|(place, row)| noise::add_noise(deviation, key, place, row));
            noisy
        })
    }

    fn check_batch(&self, batch: &Batch<'_>) -> Result<Step> {
        let Batch { inputs, targets: expected, sample_weights: weights } = *batch;
        let rows = self.network.check_inputs(inputs)?;
        if rows > self.step_generator().batch_size {
            let expected = format!("1 to {}", self.step_generator().batch_size);
            return Err(Error::InvalidSetting { name: "rows of a batch", expected, got: rows.to_string() });
        }
        if self.network.has_batch_norm() {
            crate::nn::normalization::check_batch_size(rows)?;
        }
        check_len("expected outputs", rows * self.network.outputs(), expected.len())?;
        check_finite("expected outputs", self.network.outputs(), expected)?;
        if let Some(weights) = weights {
            if !self.data.has_sample_weights {
                let expected = "Settings::weighted, or a data set with weights".to_owned();
                return Err(Error::InvalidSetting { name: "weights of a batch", expected, got: "neither".into() });
            }
            check_sample_weights(rows, weights)?;
        }
        Ok(self.step_generator().manual_step(rows, self.counts.steps_since_reset))
    }

    /// Reads the metrics of the steps by hand that the device still has.
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

    /// The report of one step by hand.
    fn step_report(&self, metrics: StepMetrics) -> RunReport {
        let mut report = self.manual_report();
        report.push(metrics.loss, metrics.correct, metrics.rows);
        report.batch_weights.extend(metrics.sample_weight_sum);
        report
    }

    /// Appends the metrics of the last steps to those that [`Trainer::take_report`] returns, and refuses losses that are not finite.
    pub(crate) fn append_and_check(&mut self, report: &RunReport) -> Result<()> {
        self.append(report);
        self.check_finite_losses(report)
    }

    /// Appends the metrics of steps to those that [`Trainer::take_report`] returns.
    pub(crate) fn append(&mut self, report: &RunReport) {
        self.pending_report.extend(report);
        // Not one by one, since those behind move up each time.
        if self.pending_report.losses.len() >= 2 * MAX_PENDING_STEPS {
            self.pending_report.truncate_to_last(MAX_PENDING_STEPS);
        }
    }
}
