//! What depends on the step alone, computed on the host in f64: which rows it takes, its rate, the divisor of its mean.

use bytemuck::{Pod, Zeroable};

use crate::{
    data::{
        permutation::{epoch_key, mixed_seed},
        subset::Subset,
    },
    error::{Error, Result},
    nn::{dropout::Dropout, loss::Loss, network::Network},
    optim::{coefficients::Numbers, optimizer::Optimizer, schedule::Schedule},
};

/// One row of the step table, the same struct in `shaders/table.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct Step {
    /// How many rows the batch has; the last batch of an epoch may be short.
    pub(crate) rows: u32,
    /// The place in the epoch's order of its first row.
    pub(crate) first: u32,
    /// The key of the epoch's order.
    pub(crate) key: [u32; 2],
    /// One over how many numbers the mean of the loss goes.
    pub(crate) scale: f32,
    /// Where in the ring of metrics the step's loss and right answers go.
    pub(crate) ring: u32,
    /// Whether the gradients start anew, and whether they make an update: always, unless batches are accumulated.
    pub(crate) starts: u32,
    pub(crate) updates: u32,
    pub(crate) numbers: Numbers,
    /// Where a network among many drops a share of its own: `Dropout` in `src/dropout.rs`.
    pub(crate) below: u32,
    pub(crate) kept: f32,
}

/// What decides the steps of one network in a chunk, `Start` in `shaders/steps.wgsl`: from this, and from what networks
/// share, the device finds each of them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct Start {
    pub(crate) rows: u32,
    pub(crate) batch: u32,
    pub(crate) steps_per_epoch: u32,
    /// Which step of its epoch the first is.
    pub(crate) place: u32,
    /// The epoch, and the seed as [`epoch_key`] mixes it; of both the lower half first.
    pub(crate) epoch: [u32; 2],
    pub(crate) seed: [u32; 2],
    /// [`Step::scale`] of a whole batch, and of the last of an epoch.
    pub(crate) scale: f32,
    pub(crate) last_scale: f32,
    /// How many batches make an update, and how many of them came before the first step.
    pub(crate) accumulate: u32,
    pub(crate) gathered: u32,
    /// Which of the shared numbers are multiplied with its own.
    pub(crate) tempo: u32,
    pub(crate) own: Numbers,
    pub(crate) below: u32,
    pub(crate) kept: f32,
    pub(crate) padding: u32,
}

/// A batch that the caller brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// `[rows, inputs]`
    pub(crate) inputs: &'a [f32],
    /// `[rows, outputs]`
    pub(crate) expected: &'a [f32],
    /// `[rows]`, if it has weights.
    pub(crate) weights: Option<&'a [f32]>,
}

impl Batch<'_> {
    /// The sum of the weights, if it has weights.
    pub(crate) fn weight_of_rows(&self) -> Option<f64> {
        self.weights.map(|weights| weights.iter().map(|weight| f64::from(*weight)).sum())
    }

    /// What a row weighs.
    #[inline]
    pub(crate) fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[row])
    }
}

/// What one step tells, before its update.
pub(crate) struct StepMetrics {
    pub(crate) loss: f32,
    /// The sum of the weights of the rows that are answered correctly.
    pub(crate) right: f64,
    pub(crate) rows: u32,
    /// The sum of the weights of all rows, if they have weights.
    pub(crate) weight: Option<f64>,
}

/// What came before a training was taken up again with another batch size or accumulation: its updates, which optimizers and
/// schedules count on from, and its epochs, which schedules per epoch count on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Earlier {
    pub(crate) updates: u64,
    pub(crate) epochs: u64,
}

/// The course of a training: everything that decides what step `n` does.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// How many rows an epoch has.
    pub(crate) rows: usize,
    /// Which rows of the data set they are, unless all of them.
    pub(crate) subset: Option<Subset>,
    pub(crate) batch: usize,
    pub(crate) outputs: usize,
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
    /// How many batches make an update.
    pub(crate) accumulate: u64,
    pub(crate) seed: u64,
    /// What it drops, if that is another share than the network's.
    pub(crate) dropout: Option<Dropout>,
    /// Whether each output is a label of its own, and a row is right if all of them are.
    pub(crate) labels: bool,
    /// Whether a last batch with fewer rows is skipped.
    pub(crate) drop_last: bool,
    pub(crate) earlier: Earlier,
}

impl Course {
    /// Which rows of a data set of so many it takes.
    pub(crate) fn subset(&self, rows: usize) -> Subset {
        self.subset.unwrap_or_else(|| Subset::whole(rows as u32))
    }

    /// How many steps pass over the data set once.
    pub(crate) const fn steps_per_epoch(&self) -> u64 {
        if self.drop_last { (self.rows / self.batch) as u64 } else { self.rows.div_ceil(self.batch) as u64 }
    }

    /// How many rows the last batch of an epoch has.
    const fn last_batch(&self) -> usize {
        let before = (self.steps_per_epoch() as usize - 1) * self.batch;
        if self.drop_last { self.batch } else { self.rows - before }
    }

    /// Refuses an epoch without a batch, and batches that a network cannot be trained on.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        let Self { rows, batch, drop_last, .. } = *self;
        if drop_last && rows < batch {
            let expected = format!("at most {rows}, the number of rows, with drop_last");
            return Err(Error::Setting { what: "batch", expected, got: batch.to_string() });
        }
        if !network.has_batch_norm() {
            return Ok(());
        }
        crate::nn::normalization::check_batch(batch.min(rows))?;
        if self.last_batch() == 1 {
            let expected = "at least 2 for batch normalization; set drop_last or choose another batch size".to_owned();
            let got = format!("1 ({rows} rows in batches of {batch})");
            return Err(Error::Setting { what: "rows of the last batch", expected, got });
        }
        Ok(())
    }

    /// Step `n` through its rows, counted from 0; `before` steps were taken since the optimizer started.
    pub(crate) fn step(&self, n: u64, before: u64) -> Step {
        let (first, rows) = self.span(n);
        Step { first: first as u32, ..self.update(rows, before, epoch_key(self.seed, n / self.steps_per_epoch())) }
    }

    /// The step behind `last`: [`Course::step`] without computing again what stays.
    #[inline]
    pub(crate) fn step_behind(&self, last: &Step, n: u64, before: u64) -> Step {
        let first = (last.first + last.rows) as usize;
        let is_next_epoch = first >= self.rows || (self.drop_last && self.rows - first < self.batch);
        let first = if is_next_epoch { 0 } else { first };
        let rows = self.batch.min(self.rows - first);
        let key = if is_next_epoch { epoch_key(self.seed, n / self.steps_per_epoch()) } else { last.key };
        if self.is_steady() && self.accumulate == 1 && rows == last.rows as usize {
            return Step { first: first as u32, key, ..*last };
        }
        Step { first: first as u32, ..self.update(rows, before, key) }
    }

    /// What decides the steps from `n` on, after `before` updates; `tempo` says which numbers they share.
    pub(crate) fn start(&self, n: u64, before: u64, tempo: u32) -> Start {
        let halves = |number: u64| [number as u32, (number >> 32) as u32];
        let all = self.steps_per_epoch();
        Start {
            rows: self.rows as u32,
            batch: self.batch as u32,
            steps_per_epoch: all as u32,
            place: (n % all) as u32,
            epoch: halves(n / all),
            seed: halves(mixed_seed(self.seed)),
            scale: self.scale(self.batch),
            last_scale: self.scale(self.last_batch()),
            accumulate: self.accumulate as u32,
            gathered: (before % self.accumulate) as u32,
            tempo,
            own: self.optimizer.own(),
            below: self.dropout.map_or(0, |dropout| dropout.below),
            kept: self.dropout.map_or(0.0, |dropout| dropout.scale),
            padding: 0,
        }
    }

    /// The numbers that a step after `before` others shares with networks of the same tempo.
    pub(crate) fn shared(&self, before: u64) -> Numbers {
        self.optimizer.shared(self.update_after(before), self.factor(before))
    }

    /// Whether it shares those numbers with another one, at every step.
    pub(crate) fn has_tempo_of(&self, other: &Self) -> bool {
        let Optimizer { rule, decoupled, average, .. } = self.optimizer;
        let theirs = &other.optimizer;
        let is_same_rule = rule == theirs.rule && decoupled == theirs.decoupled && average == theirs.average;
        let is_same_length = self.schedule == Schedule::Constant || self.steps_per_epoch() == other.steps_per_epoch();
        is_same_rule && self.accumulate == other.accumulate && self.schedule == other.schedule && is_same_length
    }

    /// Where in its epoch's order step `n` begins, and how many rows it takes.
    pub(crate) fn span(&self, n: u64) -> (usize, usize) {
        let first = (n % self.steps_per_epoch()) as usize * self.batch;
        (first, self.batch.min(self.rows - first))
    }

    /// By what the schedule multiplies the rate after `before` steps.
    pub(crate) fn factor(&self, before: u64) -> f64 {
        let (update, Earlier { updates, .. }) = (before / self.accumulate, self.earlier);
        match &self.schedule {
            Schedule::PerEpoch(schedule) if self.earlier != Earlier::default() => {
                schedule.factor(self.epochs_after(before), 1)
            }
            schedule => schedule.factor_among(updates + update, self.accumulate, self.steps_per_epoch()),
        }
    }

    /// How many epochs the updates of so many steps have gone through.
    pub(crate) fn epochs_after(&self, before: u64) -> u64 {
        self.earlier.epochs + before / self.accumulate * self.accumulate / self.steps_per_epoch()
    }

    /// A step on `rows` rows that the caller brings, after `before` others.
    pub(crate) fn step_of(&self, rows: usize, before: u64) -> Step {
        // For the noise, the steps by hand are epochs of one step, counted from the end.
        self.update(rows, before, epoch_key(self.seed, u64::MAX - before))
    }

    /// One over how many numbers the mean of the loss goes, for a batch of `rows`.
    pub(crate) fn scale(&self, rows: usize) -> f32 {
        (1.0 / self.loss.mean_over(rows, self.outputs) as f64) as f32
    }

    /// The numbers of the update that the step after `before` others belongs to.
    pub(crate) fn numbers(&self, before: u64) -> Numbers {
        self.optimizer.numbers(self.update_after(before), self.factor(before))
    }

    /// The number of that update, from 1.
    pub(crate) const fn update_after(&self, before: u64) -> u64 {
        self.earlier.updates + before / self.accumulate + 1
    }

    /// Whether those are the same in every step.
    pub(crate) fn is_steady(&self) -> bool {
        self.schedule == Schedule::Constant && self.optimizer.is_steady()
    }

    /// What a step is but for its place.
    fn update(&self, rows: usize, before: u64, key: [u32; 2]) -> Step {
        Step {
            rows: rows as u32,
            first: 0,
            key,
            scale: self.scale(rows),
            ring: 0,
            starts: u32::from(before.is_multiple_of(self.accumulate)),
            updates: u32::from((before + 1).is_multiple_of(self.accumulate)),
            numbers: self.numbers(before),
            below: self.dropout.map_or(0, |dropout| dropout.below),
            kept: self.dropout.map_or(0.0, |dropout| dropout.scale),
        }
    }
}

#[cfg(test)]
impl Course {
    /// A course for tests: one output, mean squared error and SGD on all rows in batches of the given size.
    pub(crate) fn plain(rows: usize, batch: usize) -> Self {
        Self {
            rows,
            subset: None,
            batch,
            outputs: 1,
            loss: Loss::Mse,
            optimizer: Optimizer::sgd(0.1),
            schedule: Schedule::Constant,
            accumulate: 1,
            seed: 1,
            dropout: None,
            labels: false,
            drop_last: false,
            earlier: Earlier::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_counted_where_they_end_within_an_update() {
        let factors = [1.0, 0.5, 0.25, 0.125];
        let schedule = Schedule::Step { every: 1, factor: 0.5 }.per_epoch();
        for (accumulate, steps_per_epoch) in [(1, 5), (2, 5), (2, 3), (8, 2)] {
            let (rows, schedule) = (32 * steps_per_epoch, schedule.clone());
            let course = Course { schedule, accumulate, ..Course::plain(rows, 32) };
            for before in 0..4 * steps_per_epoch as u64 {
                let first = before - before % accumulate;
                let epoch = first / steps_per_epoch as u64;
                assert_eq!(
                    course.factor(before),
                    factors[epoch as usize],
                    "{accumulate}, {steps_per_epoch}, step {before}"
                );
            }
        }
    }

    #[test]
    fn a_step_is_the_same_behind_another() {
        let dampened = Optimizer::new(
            crate::optim::update_rule::Rule::Momentum { momentum: 0.9, dampening: 0.5, nesterov: false },
            0.1,
        );
        for optimizer in Optimizer::ALL.iter().chain([&dampened]) {
            for (schedule, accumulate) in Schedule::examples().into_iter().flat_map(|s| [(s.clone(), 1), (s, 3)]) {
                let optimizer = *optimizer;
                for drop_last in [false, true] {
                    let schedule = schedule.clone();
                    let plain = Course::plain(10, 4);
                    let course = Course { outputs: 2, optimizer, schedule, accumulate, seed: 5, drop_last, ..plain };
                    let mut last = course.step(7, 0);
                    for n in 8..40 {
                        last = course.step_behind(&last, n, n - 7);
                        assert_eq!(last, course.step(n, n - 7), "{course:?}");
                        assert!(!drop_last || last.rows == 4, "{course:?}");
                    }
                }
            }
        }
    }
}
