//! The fast trainer: f32, products and element-wise loops in vector code, all cores, no allocation in a step.
//!
//! The rows of a batch are split over the threads once: each takes its rows through all layers forward and back without
//! waiting for another. Then come the gradients:
//!
//! - of a large network, its weights are split over the threads, and each product goes over all rows of the batch;
//! - of a small network on many rows, every thread has summed the gradients of its own rows already, block by block, so
//!   that a block never leaves its cache; now the threads' sums are added.
//!
//! Which rows and weights belong together depends on sizes and on the number of threads alone, not on who is free
//! first: on one machine a training gives the same bits again.

use rayon::prelude::*;

use crate::{
    engine::{
        cpu::{
            batch::{
                BatchLayout,
                finish::{GradientSource, GradientUse, ParameterSlices},
            },
            gemm::l1_cache_text,
            layer::{RowReader, ThreadResult},
            predictor::predict,
        },
        step::{Step, StepGenerator},
    },
    error::{Result, try_with_capacity},
    nn::{network::Network, normalization::Normalization},
    plan::{Plan, PlanKey, PlannedDispatch, Scheme},
    util::math::Loops,
};

/// The work, about 20 us of it, that is worth a thread: waking one for less takes longer than it saves (measured on two
/// cores of a Zen 5).
const MIN_FLOP_PER_THREAD: u64 = 4_000_000;

/// What a step found, before its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BatchMetrics {
    pub(crate) loss: f32,
    pub(crate) correct: f64,
}

/// A network in training.
pub(crate) struct Engine {
    pub(crate) layout: BatchLayout,
    pub(crate) parameters: Vec<f32>,
    /// What the optimizer keeps; the planes of a part of the parameters lie together.
    pub(crate) optimizer_state: Vec<f32>,
    pub(crate) gradients: Vec<f32>,
    scratch: Vec<f32>,
    pub(crate) thread_results: Vec<ThreadResult>,
    /// How many batches make an update.
    pub(crate) gradient_accumulation: u64,
    /// Parameters, state, statistics and gradients as they were when [`Engine::take_snapshot`] was called.
    pub(crate) snapshot: Option<[Vec<f32>; 4]>,
}

impl Engine {
    /// A trainer for a course, in as many threads as are asked for or seem worth it, whose rows may have weights; `parameters`
    /// lie as [`Network::layout`] says. An error where the system has no room for the rows of a batch.
    pub(crate) fn new(
        network: &Network,
        generator: &StepGenerator,
        has_sample_weights: bool,
        parameters: Vec<f32>,
        asked: Option<usize>,
    ) -> Result<Self> {
        let StepGenerator { loss, is_multi_label: labels, optimizer, batch_size: batch, .. } = *generator;
        let worth = (network.flop_per_step(batch) / MIN_FLOP_PER_THREAD).min(batch as u64) as usize;
        // A small training does not even start the pool of threads.
        // A batch norm looks at all rows of the batch.
        let is_whole = network.layers().iter().any(|layer| layer.normalization == Some(Normalization::Batch));
        let threads = if worth < 2 || is_whole { 1 } else { worth.min(rayon::current_num_threads()) };
        let threads = asked.filter(|asked| !is_whole && *asked <= batch).unwrap_or(threads);
        let shape = BatchLayout::new(network, (loss, labels, optimizer), (batch, has_sample_weights), threads);
        let sums = if shape.sums_per_thread { parameters.len() } else { 0 };
        let floats = shape.scratch_len(batch.div_ceil(threads)) + sums;
        // Asked for before it is taken: a checkpoint's batch is its writer's, and what cannot be is an error and no abort.
        try_with_capacity::<f32>(floats.saturating_mul(threads), "the rows of a batch")?;
        let mut engine = Self {
            optimizer_state: vec![0.0; parameters.len() * optimizer.state_per_parameter()],
            gradients: vec![0.0; parameters.len()],
            scratch: shape.allocate_scratch(batch),
            thread_results: shape.thread_results(sums),
            parameters,
            gradient_accumulation: generator.gradient_accumulation,
            layout: shape,
            snapshot: None,
        };
        engine.thread_results[0].statistics = network.initial_statistics();
        engine.reset_ema();
        Ok(engine)
    }

    /// A step; `fill` writes the inputs and the expected outputs of a row of the batch, and tells what it weighs.
    pub(crate) fn step(
        &mut self,
        step: &Step,
        read_row: impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync,
    ) -> BatchMetrics {
        self.run(step, &read_row, GradientUse::Update(step))
    }

    /// The gradients, flat as the parameters are; nothing changes.
    pub(crate) fn gradients(
        &mut self,
        step: &Step,
        read_row: impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync,
    ) -> Vec<f32> {
        // Those that are being accumulated have to stay.
        let kept = if self.gradient_accumulation > 1 { self.gradients.clone() } else { Vec::new() };
        self.run(step, &read_row, GradientUse::Store { overwrites: true });
        if kept.is_empty() { self.gradients.clone() } else { std::mem::replace(&mut self.gradients, kept) }
    }

    /// The outputs, row by row, for any number of rows of inputs.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<f32> {
        predict(&self.layout, (&self.parameters, self.statistics()), inputs)
    }

    /// The same with other parameters, of a network without running statistics.
    pub(crate) fn predict_with(&self, parameters: &[f32], inputs: &[f32]) -> Vec<f32> {
        predict(&self.layout, (parameters, &[]), inputs)
    }

    /// How steps are computed. All of it follows from the sizes, the CPU and the number of threads.
    pub(crate) fn plan(&self, network: &Network, batch: usize) -> Plan {
        let shape = &self.layout;
        let way = match (&shape.small_network, shape.sums_per_thread) {
            (Some(_), _) => "rows in vector lanes",
            (None, true) => "blocks of rows, with gradients of their own",
            (None, false) => "all rows, with gradients for all",
        };
        let threads = shape.threads;
        let scheme = Scheme::Cpu(format!("{way}, {threads} thread{}", if threads == 1 { "" } else { "s" }));
        // pulp's name of the vector instructions that are used, such as V4.
        let vectors = format!("{:?}", shape.arch);
        let driver = format!("{}, {}", vectors.split('(').next().unwrap_or_default(), l1_cache_text());
        let of = PlanKey::new("CPU engine".to_owned(), driver, network, batch);
        let (kernel, flop) = ("whole step".to_owned(), network.flop_per_step(batch));
        let bytes = 4 * (4 * self.parameters.len() + batch * network.inputs()) as u64;
        Plan {
            key: of,
            scheme,
            dispatches: vec![PlannedDispatch {
                kernel,
                workgroups: threads as u64,
                steps_per_dispatch: 1,
                flop,
                bytes,
            }],
        }
    }

    /// The parameters, flat.
    pub(crate) fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The running statistics, flat.
    pub(crate) fn statistics(&self) -> &[f32] {
        &self.thread_results[0].statistics
    }

    /// Sets the parameters and the running statistics, flat; the optimizer starts anew.
    pub(crate) fn set_parameters(&mut self, flat: &[f32], statistics: &[f32]) {
        self.parameters.copy_from_slice(flat);
        self.thread_results[0].statistics.copy_from_slice(statistics);
        self.optimizer_state.fill(0.0);
        self.reset_ema();
    }

    /// The average of the parameters starts as they are.
    fn reset_ema(&mut self) {
        for (place, average) in self.layout.ema_ranges(self.parameters.len()) {
            self.optimizer_state[average].copy_from_slice(&self.parameters[place]);
        }
    }

    /// The average of the parameters, flat; none if none is kept.
    pub(crate) fn ema_parameters(&self) -> Option<Vec<f32>> {
        let mut flat = vec![0.0; self.parameters.len()];
        for (place, average) in self.layout.ema_ranges(flat.len()) {
            flat[place].copy_from_slice(&self.optimizer_state[average]);
        }
        self.layout.has_ema().then_some(flat)
    }

    /// Runs `work` in the pool of threads, if this network needs one. A step enters it by itself, but waking a thread
    /// for each costs more than entering once for many.
    pub(crate) fn in_pool<R: Send>(&mut self, work: impl FnOnce(&mut Self) -> R + Send) -> R {
        if self.layout.threads == 1 { work(self) } else { rayon::scope(|_| work(self)) }
    }

    /// Runs loops with the vector instructions that the CPU has; see [`Loops`].
    #[inline(always)]
    pub(crate) fn run_vectorized(&self, mut loops: impl FnMut()) {
        self.layout.arch.dispatch(Loops(
            #[inline(always)]
            |_| loops(),
        ));
    }

    fn run(&mut self, step: &Step, read_row: &RowReader<'_>, purpose: GradientUse<'_>) -> BatchMetrics {
        self.in_pool(|engine| engine.run_on_this_thread(step, read_row, purpose))
    }

    fn run_on_this_thread(&mut self, step: &Step, read_row: &RowReader<'_>, purpose: GradientUse<'_>) -> BatchMetrics {
        let Self {
            layout: shape,
            parameters,
            optimizer_state: state,
            gradients,
            scratch: rows,
            thread_results: lanes,
            gradient_accumulation: accumulate,
            ..
        } = self;
        let runs = matches!(purpose, GradientUse::Update(_));
        let count = step.rows as usize;
        let share = count.div_ceil(shape.threads);
        // The last threads may have no rows of a short batch.
        let lanes = &mut lanes[..count.div_ceil(share)];
        let one = |(i, (lane, space)): (usize, (&mut ThreadResult, &mut [f32]))| {
            shape.process_rows(parameters, step, read_row, i * share..count.min((i + 1) * share), space, (lane, runs));
        };
        if let [lane] = lanes {
            one((0, (lane, rows)));
        } else {
            let spaces = rows.par_chunks_mut(shape.scratch_len(share));
            lanes.par_iter_mut().zip(spaces).enumerate().with_max_len(1).for_each(one);
        }
        let source = if shape.sums_per_thread {
            GradientSource::ThreadSums(lanes)
        } else {
            GradientSource::Rows(&rows[..count * shape.stride])
        };
        let keeps = *accumulate > 1 || shape.needs_full_gradients();
        let starts = match purpose {
            GradientUse::Update(step) if keeps => Some(step.clears_gradients == 1),
            GradientUse::Update(_) => None,
            GradientUse::Store { overwrites: starts } => Some(starts),
        };
        if let Some(starts) = starts {
            let keep = GradientUse::Store { overwrites: starts };
            shape.apply_gradients(&shape.ranges, source, keep, ParameterSlices { parameters, gradients, state });
            shape.add_vector_gradients(lanes, starts, gradients);
        } else {
            shape.apply_gradients(&shape.ranges, source, purpose, ParameterSlices { parameters, gradients, state });
        }
        if let (GradientUse::Update(step), Some(_)) = (purpose, starts)
            && step.applies_update == 1
        {
            let whole = GradientSource::Full(shape.clip_factor(gradients, *accumulate));
            shape.apply_gradients(&shape.ranges, whole, purpose, ParameterSlices { parameters, gradients, state });
        }
        let sum: f64 = lanes.iter().map(|lane| lane.loss).sum();
        BatchMetrics {
            loss: (sum * f64::from(step.loss_scale)) as f32,
            correct: lanes.iter().map(|lane| lane.correct).sum(),
        }
    }
}

#[cfg(test)]
mod tests;
