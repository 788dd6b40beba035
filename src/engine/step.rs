//! What depends on the step alone, computed on the host in f64: which rows it takes, its rate, the divisor of its mean.

use bytemuck::{Pod, Zeroable};

use crate::{
    data::{
        permutation::{epoch_key, mix_seed},
        subset::SubsetParams,
    },
    error::{Error, Result},
    nn::{dropout::Dropout, loss::Loss, network::Network},
    optim::{coefficients::UpdateCoefficients, optimizer::Optimizer, schedule::Schedule},
};

/// One row of the step table, the same struct in `shaders/table.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct Step {
    /// How many rows the batch has; the last batch of an epoch may be short.
    pub(crate) rows: u32,
    /// The place in the epoch's order of its first row.
    pub(crate) first_position: u32,
    /// The key of the epoch's order.
    pub(crate) shuffle_key: [u32; 2],
    /// One over how many numbers the mean of the loss goes.
    pub(crate) loss_scale: f32,
    /// Where in the ring of metrics the step's loss and right answers go.
    pub(crate) metrics_index: u32,
    /// Whether the gradients start anew, and whether they make an update: always, unless batches are accumulated.
    pub(crate) clears_gradients: u32,
    pub(crate) applies_update: u32,
    pub(crate) coefficients: UpdateCoefficients,
    /// Where a network among many drops a share of its own: `Dropout` in `src/dropout.rs`.
    pub(crate) dropout_threshold: u32,
    pub(crate) dropout_scale: f32,
}

/// What decides the steps of one network in a chunk, `StepTableInput` in `shaders/steps.wgsl`: from this, and from what networks
/// share, the device finds each of them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct StepTableInput {
    pub(crate) rows: u32,
    pub(crate) batch_size: u32,
    pub(crate) steps_per_epoch: u32,
    /// Which step of its epoch the first is.
    pub(crate) step_in_epoch: u32,
    /// The epoch, and the seed as [`epoch_key`] mixes it; of both the lower half first.
    pub(crate) epoch: [u32; 2],
    pub(crate) seed: [u32; 2],
    /// [`Step::loss_scale`] of a whole batch, and of the last of an epoch.
    pub(crate) loss_scale: f32,
    pub(crate) last_loss_scale: f32,
    /// How many batches make an update, and how many of them came before the first step.
    pub(crate) gradient_accumulation: u32,
    pub(crate) accumulated_batches: u32,
    /// Which of the shared numbers are multiplied with its own.
    pub(crate) schedule_group: u32,
    pub(crate) member_coefficients: UpdateCoefficients,
    pub(crate) dropout_threshold: u32,
    pub(crate) dropout_scale: f32,
    pub(crate) padding: u32,
}

/// A batch that the caller brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// `[rows, inputs]`
    pub(crate) inputs: &'a [f32],
    /// `[rows, outputs]`
    pub(crate) targets: &'a [f32],
    /// `[rows]`, if it has weights.
    pub(crate) sample_weights: Option<&'a [f32]>,
}

impl Batch<'_> {
    /// The sum of the weights, if it has weights.
    pub(crate) fn weight_sum(&self) -> Option<f64> {
        self.sample_weights.map(|weights| weights.iter().map(|weight| f64::from(*weight)).sum())
    }

    /// What a row weighs.
    #[inline]
    pub(crate) fn sample_weight(&self, row: usize) -> f32 {
        self.sample_weights.map_or(1.0, |weights| weights[row])
    }
}

/// What one step tells, before its update.
pub(crate) struct StepMetrics {
    pub(crate) loss: f32,
    /// The sum of the weights of the rows that are answered correctly.
    pub(crate) correct: f64,
    pub(crate) rows: u32,
    /// The sum of the weights of all rows, if they have weights.
    pub(crate) sample_weight_sum: Option<f64>,
}

/// What came before a training was taken up again with another batch size or accumulation: its updates, which optimizers and
/// schedules count on from, and its epochs, which schedules per epoch count on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeOffset {
    pub(crate) updates: u64,
    pub(crate) epochs: u64,
}

/// The course of a training: everything that decides what step `n` does.
#[derive(Debug, Clone)]
pub(crate) struct StepGenerator {
    /// How many rows an epoch has.
    pub(crate) rows: usize,
    /// Which rows of the data set they are, unless all of them.
    pub(crate) subset: Option<SubsetParams>,
    pub(crate) batch_size: usize,
    pub(crate) outputs: usize,
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
    /// How many batches make an update.
    pub(crate) gradient_accumulation: u64,
    pub(crate) seed: u64,
    /// What it drops, if that is another share than the network's.
    pub(crate) dropout: Option<Dropout>,
    /// Whether each output is a label of its own, and a row is right if all of them are.
    pub(crate) is_multi_label: bool,
    /// Whether a last batch with fewer rows is skipped.
    pub(crate) drop_last: bool,
    pub(crate) resume_offset: ResumeOffset,
}

impl StepGenerator {
    /// Which rows of a data set of so many it takes.
    pub(crate) fn subset(&self, rows: usize) -> SubsetParams {
        self.subset.unwrap_or_else(|| SubsetParams::all_rows(rows as u32))
    }

    /// How many steps pass over the data set once.
    pub(crate) const fn steps_per_epoch(&self) -> u64 {
        if self.drop_last { (self.rows / self.batch_size) as u64 } else { self.rows.div_ceil(self.batch_size) as u64 }
    }

    /// How many rows the last batch of an epoch has.
    const fn last_batch_size(&self) -> usize {
        let before = (self.steps_per_epoch() as usize - 1) * self.batch_size;
        if self.drop_last { self.batch_size } else { self.rows - before }
    }

    /// Refuses an epoch without a batch, and batches that a network cannot be trained on.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        let Self { rows, batch_size: batch, drop_last, .. } = *self;
        if drop_last && rows < batch {
            let expected = format!("at most {rows}, the number of rows, with drop_last");
            return Err(Error::InvalidSetting { name: "batch", expected, got: batch.to_string() });
        }
        if !network.has_batch_norm() {
            return Ok(());
        }
        crate::nn::normalization::check_batch_size(batch.min(rows))?;
        if self.last_batch_size() == 1 {
            let expected = "at least 2 for batch normalization; set drop_last or choose another batch size".to_owned();
            let got = format!("1 ({rows} rows in batches of {batch})");
            return Err(Error::InvalidSetting { name: "rows of the last batch", expected, got });
        }
        Ok(())
    }

    /// Step `n` through its rows, counted from 0; `before` steps were taken since the optimizer started.
    pub(crate) fn step(&self, n: u64, steps_since_reset: u64) -> Step {
        let (first, rows) = self.batch_span(n);
        Step {
            first_position: first as u32,
            ..self.unpositioned_step(rows, steps_since_reset, epoch_key(self.seed, n / self.steps_per_epoch()))
        }
    }

    /// The step behind `last`: [`StepGenerator::step`] without computing again what stays.
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

    /// What decides the steps from `n` on, after `before` updates; `tempo` says which numbers they share.
    pub(crate) fn table_input(&self, n: u64, steps_since_reset: u64, tempo: u32) -> StepTableInput {
        let halves = |number: u64| [number as u32, (number >> 32) as u32];
        let all = self.steps_per_epoch();
        StepTableInput {
            rows: self.rows as u32,
            batch_size: self.batch_size as u32,
            steps_per_epoch: all as u32,
            step_in_epoch: (n % all) as u32,
            epoch: halves(n / all),
            seed: halves(mix_seed(self.seed)),
            loss_scale: self.loss_scale(self.batch_size),
            last_loss_scale: self.loss_scale(self.last_batch_size()),
            gradient_accumulation: self.gradient_accumulation as u32,
            accumulated_batches: (steps_since_reset % self.gradient_accumulation) as u32,
            schedule_group: tempo,
            member_coefficients: self.optimizer.member_coefficients(),
            dropout_threshold: self.dropout.map_or(0, |dropout| dropout.threshold),
            dropout_scale: self.dropout.map_or(0.0, |dropout| dropout.scale),
            padding: 0,
        }
    }

    /// The numbers that a step after `before` others shares with networks of the same tempo.
    pub(crate) fn shared_coefficients(&self, steps_since_reset: u64) -> UpdateCoefficients {
        self.optimizer
            .shared_coefficients(self.update_number(steps_since_reset), self.schedule_factor(steps_since_reset))
    }

    /// Whether it shares those numbers with another one, at every step.
    pub(crate) fn shares_schedule_with(&self, other: &Self) -> bool {
        let Optimizer { rule, decoupled_weight_decay: decoupled, ema_decay: average, .. } = self.optimizer;
        let theirs = &other.optimizer;
        let is_same_rule =
            rule == theirs.rule && decoupled == theirs.decoupled_weight_decay && average == theirs.ema_decay;
        let is_same_length = self.schedule == Schedule::Constant || self.steps_per_epoch() == other.steps_per_epoch();
        is_same_rule
            && self.gradient_accumulation == other.gradient_accumulation
            && self.schedule == other.schedule
            && is_same_length
    }

    /// Where in its epoch's order step `n` begins, and how many rows it takes.
    pub(crate) fn batch_span(&self, n: u64) -> (usize, usize) {
        let first = (n % self.steps_per_epoch()) as usize * self.batch_size;
        (first, self.batch_size.min(self.rows - first))
    }

    /// By what the schedule multiplies the rate after `before` steps.
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

    /// How many epochs the updates of so many steps have gone through.
    pub(crate) fn epochs_after(&self, steps_since_reset: u64) -> u64 {
        self.resume_offset.epochs
            + steps_since_reset / self.gradient_accumulation * self.gradient_accumulation / self.steps_per_epoch()
    }

    /// A step on `rows` rows that the caller brings, after `before` others.
    pub(crate) fn manual_step(&self, rows: usize, steps_since_reset: u64) -> Step {
        // For the noise, the steps by hand are epochs of one step, counted from the end.
        self.unpositioned_step(rows, steps_since_reset, epoch_key(self.seed, u64::MAX - steps_since_reset))
    }

    /// One over how many numbers the mean of the loss goes, for a batch of `rows`.
    pub(crate) fn loss_scale(&self, rows: usize) -> f32 {
        (1.0 / self.loss.mean_divisor(rows, self.outputs) as f64) as f32
    }

    /// The numbers of the update that the step after `before` others belongs to.
    pub(crate) fn update_coefficients(&self, steps_since_reset: u64) -> UpdateCoefficients {
        self.optimizer
            .update_coefficients(self.update_number(steps_since_reset), self.schedule_factor(steps_since_reset))
    }

    /// The number of that update, from 1.
    pub(crate) const fn update_number(&self, steps_since_reset: u64) -> u64 {
        self.resume_offset.updates + steps_since_reset / self.gradient_accumulation + 1
    }

    /// Whether those are the same in every step.
    pub(crate) fn is_constant(&self) -> bool {
        self.schedule == Schedule::Constant && self.optimizer.is_constant()
    }

    /// What a step is but for its place.
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
    /// A course for tests: one output, mean squared error and SGD on all rows in batches of the given size.
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

    #[test]
    fn epochs_are_counted_where_they_end_within_an_update() {
        let factors = [1.0, 0.5, 0.25, 0.125];
        let schedule = Schedule::Step { step_size: 1, factor: 0.5 }.per_epoch();
        for (accumulate, steps_per_epoch) in [(1, 5), (2, 5), (2, 3), (8, 2)] {
            let (rows, schedule) = (32 * steps_per_epoch, schedule.clone());
            let course =
                StepGenerator { schedule, gradient_accumulation: accumulate, ..StepGenerator::plain(rows, 32) };
            for before in 0..4 * steps_per_epoch as u64 {
                let first = before - before % accumulate;
                let epoch = first / steps_per_epoch as u64;
                assert_eq!(
                    course.schedule_factor(before),
                    factors[epoch as usize],
                    "{accumulate}, {steps_per_epoch}, step {before}"
                );
            }
        }
    }

    #[test]
    fn a_step_is_the_same_behind_another() {
        let dampened = Optimizer::new(
            crate::optim::update_rule::UpdateRule::Momentum { momentum: 0.9, dampening: 0.5, nesterov: false },
            0.1,
        );
        for optimizer in Optimizer::ALL.iter().chain([&dampened]) {
            for (schedule, accumulate) in Schedule::examples().into_iter().flat_map(|s| [(s.clone(), 1), (s, 3)]) {
                let optimizer = *optimizer;
                for drop_last in [false, true] {
                    let schedule = schedule.clone();
                    let plain = StepGenerator::plain(10, 4);
                    let course = StepGenerator {
                        outputs: 2,
                        optimizer,
                        schedule,
                        gradient_accumulation: accumulate,
                        seed: 5,
                        drop_last,
                        ..plain
                    };
                    let mut last = course.step(7, 0);
                    for n in 8..40 {
                        last = course.next_step(&last, n, n - 7);
                        assert_eq!(last, course.step(n, n - 7), "{course:?}");
                        assert!(!drop_last || last.rows == 4, "{course:?}");
                    }
                }
            }
        }
    }
}
