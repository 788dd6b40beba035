//! The steps of a training run: the rows of each batch, its loss scale, and the coefficients of its update.
//!
//! The host computes them in f64, because they depend only on the step number and the settings.

use bytemuck::{Pod, Zeroable};

use crate::{
    data::{
        permutation::{epoch_key, mix_seed},
        subset::SubsetParams,
    },
    error::{Error, Result},
    nn::{dropout::Dropout, loss::Loss, network::Network, normalization::check_batch_size},
    optim::{coefficients::UpdateCoefficients, optimizer::Optimizer, schedule::Schedule},
};

/// One row of the step table, the same struct in `shaders/step/layout.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct Step {
    /// The number of rows in the batch. The last batch of an epoch may be smaller.
    pub(crate) rows: u32,
    /// The position of the batch's first row in the permutation of the epoch.
    pub(crate) first_position: u32,
    /// The key of the epoch's permutation, from [`epoch_key`].
    pub(crate) shuffle_key: [u32; 2],
    /// The reciprocal of the divisor of the mean loss: see [`Loss::mean_divisor`].
    pub(crate) loss_scale: f32,
    /// The index in the metrics ring that receives the step's loss and its number of correct rows.
    pub(crate) metrics_index: u32,
    /// Whether the step clears the gradients first; always 1 without gradient accumulation.
    pub(crate) clears_gradients: u32,
    /// Whether the step applies an update; always 1 without gradient accumulation.
    pub(crate) applies_update: u32,
    pub(crate) coefficients: UpdateCoefficients,
    /// [`Dropout::threshold`] if the member has its own dropout probability, otherwise 0.
    pub(crate) dropout_threshold: u32,
    /// [`Dropout::scale`] if the member has its own dropout probability, otherwise 0.
    pub(crate) dropout_scale: f32,
}

/// The input from which the device builds the step table of one member for a chunk of steps, together with the shared
/// coefficients. It is the same struct as `StepTableInput` in `shaders/step/step_table.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct StepTableInput {
    /// The number of rows in an epoch.
    pub(crate) rows: u32,
    pub(crate) batch_size: u32,
    pub(crate) steps_per_epoch: u32,
    /// The index of the first step within its epoch.
    pub(crate) step_in_epoch: u32,
    /// The epoch of the first step; the lower half first.
    pub(crate) epoch: [u32; 2],
    /// The mixed seed, from [`mix_seed`]; the lower half first.
    pub(crate) seed: [u32; 2],
    /// [`Step::loss_scale`] of a full batch.
    pub(crate) loss_scale: f32,
    /// [`Step::loss_scale`] of the last batch of an epoch.
    pub(crate) last_loss_scale: f32,
    /// The number of batches per update.
    pub(crate) gradient_accumulation: u32,
    /// The number of batches already accumulated before the first step.
    pub(crate) accumulated_batches: u32,
    /// The index of the shared coefficients that the device multiplies with `member_coefficients`.
    pub(crate) schedule_group: u32,
    pub(crate) member_coefficients: UpdateCoefficients,
    pub(crate) dropout_threshold: u32,
    pub(crate) dropout_scale: f32,
    pub(crate) padding: u32,
}

/// A batch from the caller, for a manual step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// `[rows, inputs]`
    pub(crate) inputs: &'a [f32],
    /// `[rows, outputs]`
    pub(crate) targets: &'a [f32],
    /// `[rows]`, if the batch has sample weights.
    pub(crate) sample_weights: Option<&'a [f32]>,
}

impl Batch<'_> {
    /// Returns the sum of the sample weights if the batch has sample weights.
    pub(crate) fn weight_sum(&self) -> Option<f64> {
        self.sample_weights.map(|weights| weights.iter().map(|weight| f64::from(*weight)).sum())
    }

    /// Returns the sample weight of a row; 1 without sample weights.
    #[inline]
    pub(crate) fn sample_weight(&self, row: usize) -> f32 {
        self.sample_weights.map_or(1.0, |weights| weights[row])
    }
}

/// The metrics of one step, computed before its update.
pub(crate) struct StepMetrics {
    pub(crate) loss: f32,
    /// The sum of the sample weights of the correct rows; without sample weights, their number.
    pub(crate) correct: f64,
    pub(crate) rows: u32,
    /// The sum of the sample weights of all rows, if they have sample weights.
    pub(crate) sample_weight_sum: Option<f64>,
}

/// The updates and epochs that ran before a training run was resumed with another batch size or gradient accumulation.
///
/// Optimizers and schedules continue counting from `updates`, schedules per epoch from `epochs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeOffset {
    pub(crate) updates: u64,
    pub(crate) epochs: u64,
}

/// A generator of training steps: it holds every setting that determines step `n`.
#[derive(Debug, Clone)]
pub(crate) struct StepGenerator {
    /// The number of rows per epoch.
    pub(crate) rows: usize,
    /// The subset of the data set to train on; `None` for all rows.
    pub(crate) subset: Option<SubsetParams>,
    pub(crate) batch_size: usize,
    pub(crate) outputs: usize,
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
    /// The number of batches per update.
    pub(crate) gradient_accumulation: u64,
    pub(crate) seed: u64,
    /// The dropout of this member, if it differs from the network's.
    pub(crate) dropout: Option<Dropout>,
    /// Whether the targets are multi-label: a row is then correct if all of its outputs are.
    pub(crate) is_multi_label: bool,
    /// Whether an epoch skips a last batch that is smaller than `batch_size`.
    pub(crate) drop_last: bool,
    pub(crate) resume_offset: ResumeOffset,
}

impl StepGenerator {
    /// Returns the subset to train on, in a data set of `rows` rows.
    pub(crate) fn subset(&self, rows: usize) -> SubsetParams {
        self.subset.unwrap_or_else(|| SubsetParams::all_rows(rows as u32))
    }

    /// Returns the number of steps per epoch.
    pub(crate) const fn steps_per_epoch(&self) -> u64 {
        if self.drop_last { (self.rows / self.batch_size) as u64 } else { self.rows.div_ceil(self.batch_size) as u64 }
    }

    /// Returns the number of rows in the last batch of an epoch.
    const fn last_batch_size(&self) -> usize {
        let full_rows = (self.steps_per_epoch() as usize - 1) * self.batch_size;
        if self.drop_last { self.batch_size } else { self.rows - full_rows }
    }

    /// Checks that an epoch has a batch, and that `network` can be trained on every batch.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `drop_last` is set and the batch size exceeds the number of rows.
    /// [`Error::InvalidSetting`] if the network has batch normalization and a batch has only one row.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        let Self { rows, batch_size, drop_last, .. } = *self;
        if drop_last && rows < batch_size {
            let expected = format!("at most the number of rows ({rows}) with drop_last");
            return Err(Error::InvalidSetting { name: "batch_size", expected, got: batch_size.to_string() });
        }
        if !network.has_batch_norm() {
            return Ok(());
        }
        check_batch_size(batch_size.min(rows))?;
        if self.last_batch_size() == 1 {
            let expected = "at least 2 for batch normalization".to_owned();
            let got = format!("1 ({rows} rows in batches of {batch_size}); set drop_last or choose another batch_size");
            return Err(Error::InvalidSetting { name: "rows of the last batch", expected, got });
        }
        Ok(())
    }

    /// Returns step `n`, counted from 0. `steps_since_reset` steps have run since the optimizer was reset.
    pub(crate) fn step(&self, n: u64, steps_since_reset: u64) -> Step {
        let (first, rows) = self.batch_span(n);
        Step {
            first_position: first as u32,
            ..self.unpositioned_step(rows, steps_since_reset, epoch_key(self.seed, n / self.steps_per_epoch()))
        }
    }

    /// Returns step `n`, which follows `last`: like [`StepGenerator::step`], but it reuses the values that did not
    /// change.
    #[inline]
    pub(crate) fn next_step(&self, last: &Step, n: u64, steps_since_reset: u64) -> Step {
        let first = (last.first_position + last.rows) as usize;
        let is_next_epoch = first >= self.rows || (self.drop_last && self.rows - first < self.batch_size);
        let first = if is_next_epoch { 0 } else { first };
        let rows = self.batch_size.min(self.rows - first);
        let key = if is_next_epoch { epoch_key(self.seed, n / self.steps_per_epoch()) } else { last.shuffle_key };
        if self.is_constant() && self.gradient_accumulation == 1 && rows == last.rows as usize {
            return Step { first_position: first as u32, shuffle_key: key, ..*last };
        }
        Step { first_position: first as u32, ..self.unpositioned_step(rows, steps_since_reset, key) }
    }

    /// Returns the input from which the device builds the step table from step `n` on. `schedule_group` is the index of
    /// the shared coefficients.
    pub(crate) fn table_input(&self, n: u64, steps_since_reset: u64, schedule_group: u32) -> StepTableInput {
        let halves = |number: u64| [number as u32, (number >> 32) as u32];
        let steps_per_epoch = self.steps_per_epoch();
        StepTableInput {
            rows: self.rows as u32,
            batch_size: self.batch_size as u32,
            steps_per_epoch: steps_per_epoch as u32,
            step_in_epoch: (n % steps_per_epoch) as u32,
            epoch: halves(n / steps_per_epoch),
            seed: halves(mix_seed(self.seed)),
            loss_scale: self.loss_scale(self.batch_size),
            last_loss_scale: self.loss_scale(self.last_batch_size()),
            gradient_accumulation: self.gradient_accumulation as u32,
            accumulated_batches: (steps_since_reset % self.gradient_accumulation) as u32,
            schedule_group,
            member_coefficients: self.optimizer.member_coefficients(),
            dropout_threshold: self.dropout.map_or(0, |dropout| dropout.threshold),
            dropout_scale: self.dropout.map_or(0.0, |dropout| dropout.scale),
            padding: 0,
        }
    }

    /// Returns the coefficients that a step shares with all members of its schedule group.
    pub(crate) fn shared_coefficients(&self, steps_since_reset: u64) -> UpdateCoefficients {
        self.optimizer
            .shared_coefficients(self.update_number(steps_since_reset), self.schedule_factor(steps_since_reset))
    }

    /// Returns whether [`StepGenerator::shared_coefficients`] of both generators are equal in every step.
    pub(crate) fn shares_schedule_with(&self, other: &Self) -> bool {
        let Optimizer { rule, decoupled_weight_decay, ema_decay, .. } = self.optimizer;
        let theirs = &other.optimizer;
        let is_same_rule = rule == theirs.rule
            && decoupled_weight_decay == theirs.decoupled_weight_decay
            && ema_decay == theirs.ema_decay;
        let has_same_epochs = self.schedule == Schedule::Constant || self.steps_per_epoch() == other.steps_per_epoch();
        is_same_rule
            && self.gradient_accumulation == other.gradient_accumulation
            && self.schedule == other.schedule
            && has_same_epochs
    }

    /// Returns the position of the first row of step `n` in its epoch, and the number of rows.
    pub(crate) fn batch_span(&self, n: u64) -> (usize, usize) {
        let first = (n % self.steps_per_epoch()) as usize * self.batch_size;
        (first, self.batch_size.min(self.rows - first))
    }

    /// Returns the factor by which the schedule multiplies the learning rate after `steps_since_reset` steps.
    pub(crate) fn schedule_factor(&self, steps_since_reset: u64) -> f64 {
        let (update, ResumeOffset { updates, .. }) =
            (steps_since_reset / self.gradient_accumulation, self.resume_offset);
        match &self.schedule {
            Schedule::PerEpoch(schedule) if self.resume_offset != ResumeOffset::default() => {
                schedule.factor(self.epochs_after(steps_since_reset), 1)
            }
            schedule => schedule.factor_at_step(updates + update, self.gradient_accumulation, self.steps_per_epoch()),
        }
    }

    /// Returns the number of complete epochs after the updates of `steps_since_reset` steps. Batches that are
    /// accumulated but not applied yet do not count.
    pub(crate) fn epochs_after(&self, steps_since_reset: u64) -> u64 {
        self.resume_offset.epochs
            + steps_since_reset / self.gradient_accumulation * self.gradient_accumulation / self.steps_per_epoch()
    }

    /// Returns a manual step on `rows` rows of the caller.
    pub(crate) fn manual_step(&self, rows: usize, steps_since_reset: u64) -> Step {
        // Noise and dropout use the epoch key. Each manual step counts as an epoch, from u64::MAX down, so that its key
        // differs from those of real epochs.
        self.unpositioned_step(rows, steps_since_reset, epoch_key(self.seed, u64::MAX - steps_since_reset))
    }

    /// Returns the reciprocal of the divisor of the mean loss for a batch of `rows` rows.
    pub(crate) fn loss_scale(&self, rows: usize) -> f32 {
        (1.0 / self.loss.mean_divisor(rows, self.outputs) as f64) as f32
    }

    /// Returns the coefficients of the update to which the step after `steps_since_reset` others belongs.
    pub(crate) fn update_coefficients(&self, steps_since_reset: u64) -> UpdateCoefficients {
        self.optimizer
            .update_coefficients(self.update_number(steps_since_reset), self.schedule_factor(steps_since_reset))
    }

    /// Returns the number of the update to which the step after `steps_since_reset` others belongs, counted from 1.
    pub(crate) const fn update_number(&self, steps_since_reset: u64) -> u64 {
        self.resume_offset.updates + steps_since_reset / self.gradient_accumulation + 1
    }

    /// Returns whether [`StepGenerator::update_coefficients`] are the same in every step.
    pub(crate) fn is_constant(&self) -> bool {
        self.schedule == Schedule::Constant && self.optimizer.is_constant()
    }

    /// Returns a step whose `first_position` and `metrics_index` are still 0.
    fn unpositioned_step(&self, rows: usize, steps_since_reset: u64, key: [u32; 2]) -> Step {
        Step {
            rows: rows as u32,
            first_position: 0,
            shuffle_key: key,
            loss_scale: self.loss_scale(rows),
            metrics_index: 0,
            clears_gradients: u32::from(steps_since_reset.is_multiple_of(self.gradient_accumulation)),
            applies_update: u32::from((steps_since_reset + 1).is_multiple_of(self.gradient_accumulation)),
            coefficients: self.update_coefficients(steps_since_reset),
            dropout_threshold: self.dropout.map_or(0, |dropout| dropout.threshold),
            dropout_scale: self.dropout.map_or(0.0, |dropout| dropout.scale),
        }
    }
}

#[cfg(test)]
impl StepGenerator {
    /// Returns a generator for tests: one output, mean squared error and SGD on all rows, in batches of `batch` rows.
    pub(crate) fn plain(rows: usize, batch: usize) -> Self {
        Self {
            rows,
            subset: None,
            batch_size: batch,
            outputs: 1,
            loss: Loss::Mse,
            optimizer: Optimizer::sgd(0.1),
            schedule: Schedule::Constant,
            gradient_accumulation: 1,
            seed: 1,
            dropout: None,
            is_multi_label: false,
            drop_last: false,
            resume_offset: ResumeOffset::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::update_rule::UpdateRule;

    #[test]
    fn schedule_counts_epochs_that_end_within_an_accumulated_update() {
        let factors = [1.0, 0.5, 0.25, 0.125];
        let schedule = Schedule::Step { step_size: 1, factor: 0.5 }.per_epoch();
        for (accumulate, steps_per_epoch) in [(1, 5), (2, 5), (2, 3), (8, 2)] {
            let (rows, schedule) = (32 * steps_per_epoch, schedule.clone());
            let generator =
                StepGenerator { schedule, gradient_accumulation: accumulate, ..StepGenerator::plain(rows, 32) };
            for steps in 0..4 * steps_per_epoch as u64 {
                let first = steps - steps % accumulate;
                let epoch = first / steps_per_epoch as u64;
                assert_eq!(
                    generator.schedule_factor(steps),
                    factors[epoch as usize],
                    "{accumulate}, {steps_per_epoch}, step {steps}"
                );
            }
        }
    }

    #[test]
    fn next_step_equals_step() {
        let dampened = Optimizer::new(UpdateRule::Momentum { momentum: 0.9, dampening: 0.5, nesterov: false }, 0.1);
        for optimizer in Optimizer::ALL.iter().chain([&dampened]) {
            for (schedule, accumulate) in Schedule::examples().into_iter().flat_map(|s| [(s.clone(), 1), (s, 3)]) {
                let optimizer = *optimizer;
                for drop_last in [false, true] {
                    let schedule = schedule.clone();
                    let plain = StepGenerator::plain(10, 4);
                    let generator = StepGenerator {
                        outputs: 2,
                        optimizer,
                        schedule,
                        gradient_accumulation: accumulate,
                        seed: 5,
                        drop_last,
                        ..plain
                    };
                    let mut last = generator.step(7, 0);
                    for n in 8..40 {
                        last = generator.next_step(&last, n, n - 7);
                        assert_eq!(last, generator.step(n, n - 7), "{generator:?}");
                        assert!(!drop_last || last.rows == 4, "{generator:?}");
                    }
                }
            }
        }
    }
}
