//! Batches that the caller brings: steps, their losses, and gradients.

#[cfg(doc)]
use crate::train::settings::Settings;
use crate::{
    data::{dataset::check_weights, noise, scaling::scaled},
    engine::step::{Batch, Step, StepMetrics},
    error::{Error, Result, check_finite, check_len},
    nn::{layout::LayerParameters, task::Task},
    train::{run_report::Report, trainer::Trainer},
    util::blocking::blocking,
};

/// So many steps are remembered of those that nobody has asked for.
const MAX_PENDING_STEPS: usize = 1 << 20;

impl Trainer {
    /// What dropout multiplies each layer's outputs by in the next step by hand, of so many rows.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn coming_factors(&self, rows: usize) -> Vec<Vec<f64>> {
        let step = self.course().step_of(rows, self.counts.steps_since_reset);
        self.network.dropout_factors(step.key, step.first, step.rows)
    }

    blocking! {
        /// Takes one step on a batch of the caller's, of any number of rows up to [`Settings::batch`] (or to that of
        /// the data set, if it has fewer). Does not wait for it: on a GPU, a loss that diverged is told by a later
        /// call.
        ///
        /// # Shapes
        /// - inputs: `[rows, inputs]`
        /// - expected: `[rows, outputs]`; a class id stands as a row of zeros with a one
        ///
        /// # Errors
        /// [`Error::Shape`] and [`Error::Setting`] for a batch of the wrong size, [`Error::NonFinite`] for one with
        /// values that are not finite numbers, and as [`Trainer::run`].
        pub fn step(&mut self, inputs: &[f32], expected: &[f32]) -> Result<()> = self.step_async(inputs, expected);
    }

    /// The asynchronous form of [`Trainer::step`].
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn step_async(&mut self, inputs: &[f32], expected: &[f32]) -> Result<()> {
        self.step_on(Batch { inputs, expected, weights: None }).await
    }

    blocking! {
        /// [`Trainer::step`] with a weight for each row: so many times its loss and what it teaches count, while the
        /// mean still goes over the number of rows. On the same trainer a step without weights takes every row once.
        ///
        /// # Shapes
        /// - weights: `[rows]`, finite numbers from 0 up
        ///
        /// # Errors
        /// [`Error::Setting`] if neither [`Settings::weighted`] nor weights of the data set prepared the trainer for
        /// it, or for a weight that is none, [`Error::Shape`] if there is not one for each row, and as
        /// [`Trainer::step`].
        pub fn step_weighted(&mut self, inputs: &[f32], expected: &[f32], weights: &[f32]) -> Result<()>
            = self.step_weighted_async(inputs, expected, weights);
    }

    /// The asynchronous form of [`Trainer::step_weighted`].
    ///
    /// # Errors
    /// As [`Trainer::step_weighted`].
    pub async fn step_weighted_async(&mut self, inputs: &[f32], expected: &[f32], weights: &[f32]) -> Result<()> {
        self.step_on(Batch { inputs, expected, weights: Some(weights) }).await
    }

    async fn step_on(&mut self, batch: Batch<'_>) -> Result<()> {
        let step = self.check_batch(&batch)?;
        let inputs = scaled(self.data.scaler.as_deref(), batch.inputs);
        let batch = Batch { inputs: &inputs, ..batch };
        if self.engine.is_full() {
            self.collect_async().await?;
        }
        let noisy = self.noisy(batch.inputs, step.key);
        let batch = Batch { inputs: noisy.as_deref().unwrap_or(batch.inputs), ..batch };
        let task = self.data.task.of_batch(&self.network, self.settings.loss, batch.expected);
        self.task_by_hand = self.task_by_hand.max(Some(task));
        self.counts.total_steps += 1;
        self.counts.steps_since_reset += 1;
        match self.engine.step(batch, step).await? {
            Some(metrics) => {
                let report = self.report_of(metrics);
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
        pub fn losses(&mut self) -> Result<Report> = self.losses_async();
    }

    /// The asynchronous form of [`Trainer::losses`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn losses_async(&mut self) -> Result<Report> {
        self.collect_async().await?;
        let empty = self.report_by_hand();
        let mut report = std::mem::replace(&mut self.pending_report, empty);
        report.keep_last(MAX_PENDING_STEPS);
        Ok(report)
    }

    blocking! {
        /// The loss of the last step's batch, before its update.
        ///
        /// # Errors
        /// [`Error::Setting`] if there was no step yet, and as [`Trainer::run`].
        pub fn loss(&mut self) -> Result<f32> = self.loss_async();
    }

    /// The asynchronous form of [`Trainer::loss`].
    ///
    /// # Errors
    /// As [`Trainer::loss`].
    pub async fn loss_async(&mut self) -> Result<f32> {
        self.collect_async().await?;
        let none = || Error::Setting { what: "loss", expected: "at least one step".into(), got: "none yet".into() };
        self.last_loss.ok_or_else(none)
    }

    blocking! {
        /// The gradients of the loss on a batch of the caller's, shaped as for [`Trainer::step`]. Changes nothing.
        ///
        /// # Errors
        /// As [`Trainer::step`].
        pub fn gradients(&mut self, inputs: &[f32], expected: &[f32]) -> Result<Vec<LayerParameters>>
            = self.gradients_async(inputs, expected);
    }

    /// The asynchronous form of [`Trainer::gradients`].
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn gradients_async(&mut self, inputs: &[f32], expected: &[f32]) -> Result<Vec<LayerParameters>> {
        self.gradients_on(Batch { inputs, expected, weights: None }).await
    }

    blocking! {
        /// [`Trainer::gradients`] with a weight for each row, as [`Trainer::step_weighted`] takes them.
        ///
        /// # Errors
        /// As [`Trainer::step_weighted`].
        pub fn gradients_weighted(
            &mut self,
            inputs: &[f32],
            expected: &[f32],
            weights: &[f32],
        ) -> Result<Vec<LayerParameters>> = self.gradients_weighted_async(inputs, expected, weights);
    }

    /// The asynchronous form of [`Trainer::gradients_weighted`].
    ///
    /// # Errors
    /// As [`Trainer::step_weighted`].
    pub async fn gradients_weighted_async(
        &mut self,
        inputs: &[f32],
        expected: &[f32],
        weights: &[f32],
    ) -> Result<Vec<LayerParameters>> {
        self.gradients_on(Batch { inputs, expected, weights: Some(weights) }).await
    }

    async fn gradients_on(&mut self, batch: Batch<'_>) -> Result<Vec<LayerParameters>> {
        let step = self.check_batch(&batch)?;
        let inputs = scaled(self.data.scaler.as_deref(), batch.inputs);
        let batch = Batch { inputs: &inputs, ..batch };
        let flat = self.engine.gradients(batch, step).await?;
        Ok(self.network.layout().layers(&flat))
    }

    /// Of no step by hand yet. What the steps count as right is decided before the first batch, so that there is an accuracy only
    /// where all batches so far are of that kind.
    fn report_by_hand(&self) -> Report {
        let counted = if self.course().labels { Task::MultiLabel } else { Task::Classification };
        Report::of(self.task_by_hand == Some(counted))
    }

    /// The inputs of a step by hand with noise, if there is noise.
    fn noisy(&self, inputs: &[f32], key: [u32; 2]) -> Option<Vec<f32>> {
        let deviation = self.settings.input_noise as f32;
        (deviation > 0.0).then(|| {
            let mut noisy = inputs.to_vec();
            let rows = noisy.chunks_exact_mut(self.network.inputs());
            (0..).zip(rows).for_each(|(place, row)| noise::add(deviation, key, place, row));
            noisy
        })
    }

    fn check_batch(&self, batch: &Batch<'_>) -> Result<Step> {
        let Batch { inputs, expected, weights } = *batch;
        let rows = self.network.check_inputs(inputs)?;
        if rows > self.course().batch {
            let expected = format!("1 to {}", self.course().batch);
            return Err(Error::Setting { what: "rows of a batch", expected, got: rows.to_string() });
        }
        if self.network.has_batch_norm() {
            crate::nn::normalization::check_batch(rows)?;
        }
        check_len("expected outputs", rows * self.network.outputs(), expected.len())?;
        check_finite("expected outputs", self.network.outputs(), expected)?;
        if let Some(weights) = weights {
            if !self.data.weighted {
                let expected = "Settings::weighted, or a data set with weights".to_owned();
                return Err(Error::Setting { what: "weights of a batch", expected, got: "neither".into() });
            }
            check_weights(rows, weights)?;
        }
        Ok(self.course().step_of(rows, self.counts.steps_since_reset))
    }

    /// Reads the metrics of the steps by hand that the device still has.
    pub(crate) async fn collect_async(&mut self) -> Result<()> {
        let collected = self.engine.collect().await?;
        if collected.is_empty() {
            return Ok(());
        }
        let mut report = self.report_by_hand();
        for metrics in collected {
            report.extend(&self.report_of(metrics));
        }
        self.append_and_check(&report)
    }

    /// The report of one step by hand.
    fn report_of(&self, metrics: StepMetrics) -> Report {
        let mut report = self.report_by_hand();
        report.push(metrics.loss, metrics.right, metrics.rows);
        report.weights.extend(metrics.weight);
        report
    }

    /// Appends the metrics of the last steps to those that [`Trainer::losses`] returns, and refuses losses that are not finite.
    pub(crate) fn append_and_check(&mut self, report: &Report) -> Result<()> {
        self.append(report);
        self.check_losses(report)
    }

    /// Appends the metrics of steps to those that [`Trainer::losses`] returns.
    pub(crate) fn append(&mut self, report: &Report) {
        self.pending_report.extend(report);
        // Not one by one, since those behind move up each time.
        if self.pending_report.losses.len() >= 2 * MAX_PENDING_STEPS {
            self.pending_report.keep_last(MAX_PENDING_STEPS);
        }
    }
}
