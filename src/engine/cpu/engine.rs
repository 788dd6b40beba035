//! The CPU engine for training: f32, vectorized loops and matmuls, all cores, and no allocation in a step.
//!
//! The threads divide the rows of a batch. Each thread takes its rows forward and backward through all layers without
//! waiting for another thread. The gradients then depend on the network and the batch:
//!
//! - For a large network, the threads divide the weights, and each matmul sums over all rows of the batch.
//! - For a small network and many rows, every thread has already summed the gradients of its rows, block by block, so
//!   that a block never leaves its cache. The engine then adds the sums of the threads.
//!
//! The division depends only on the sizes and the number of threads, not on the scheduling. On one machine, a training
//! run therefore always produces the same bits.

use rayon::prelude::*;

use crate::{
    engine::{
        cpu::{
            batch::{
                BatchConfig, BatchLayout, StateRange,
                gradients::{GradientSource, GradientUse, ParameterSlices},
                passes::NetworkValues,
            },
            gemm::l1_cache_text,
            layer::{RowReader, ThreadResult, ThreadRows},
            predictor::predict,
        },
        step::{Step, StepGenerator},
    },
    error::{Result, try_with_capacity},
    nn::{network::Network, normalization::Normalization},
    plan::{
        Plan, PlannedDispatch,
        key::PlanKey,
        scheme::{CpuKernel, CpuScheme, Scheme},
    },
    util::math::Loops,
};

/// The minimum work per thread, which takes about 20 us. With less work, waking a thread takes longer than it saves
/// (measured on two cores of a Zen 5).
const MIN_FLOP_PER_THREAD: u64 = 4_000_000;

/// The metrics of the batch of a step, computed before its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BatchMetrics {
    pub(crate) loss: f32,
    /// The sum of the sample weights of the correct rows.
    pub(crate) correct: f64,
}

/// A network in training.
pub(crate) struct Engine {
    pub(crate) layout: BatchLayout,
    pub(crate) parameters: Vec<f32>,
    /// The optimizer state. All state vectors of a parameter range are adjacent.
    pub(crate) optimizer_state: Vec<f32>,
    pub(crate) gradients: Vec<f32>,
    scratch: Vec<f32>,
    pub(crate) thread_results: Vec<ThreadResult>,
    /// The number of batches per update.
    pub(crate) gradient_accumulation: u64,
    pub(crate) snapshot: Option<EngineSnapshot>,
}

/// A snapshot of the training state, in the layout of the engine.
#[derive(Default)]
pub(crate) struct EngineSnapshot {
    pub(crate) parameters: Vec<f32>,
    pub(crate) optimizer_state: Vec<f32>,
    pub(crate) statistics: Vec<f32>,
    pub(crate) gradients: Vec<f32>,
}

impl Engine {
    /// Creates an engine with flat parameters, laid out as in [`Network::layout`].
    ///
    /// `requested_threads` sets the number of threads; a network with batch normalization ignores it. By default the
    /// engine chooses the number.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if the host cannot allocate the rows of a batch.
    pub(crate) fn new(
        network: &Network,
        generator: &StepGenerator,
        has_sample_weights: bool,
        parameters: Vec<f32>,
        requested_threads: Option<usize>,
    ) -> Result<Self> {
        let StepGenerator { loss, is_multi_label, optimizer, batch_size, .. } = *generator;
        let useful_threads = (network.flop_per_step(batch_size) / MIN_FLOP_PER_THREAD).min(batch_size as u64) as usize;
        // Batch normalization needs all rows of the batch, so one thread processes them.
        let has_batch_norm = network.layers().iter().any(|layer| layer.normalization == Some(Normalization::Batch));
        // Do not ask for the number of threads of the pool without need, because that starts the pool.
        let threads =
            if useful_threads < 2 || has_batch_norm { 1 } else { useful_threads.min(rayon::current_num_threads()) };
        let threads = requested_threads.filter(|threads| !has_batch_norm && *threads <= batch_size).unwrap_or(threads);
        let config = BatchConfig { loss, is_multi_label, optimizer, batch_size, has_sample_weights, threads };
        let layout = BatchLayout::new(network, config);
        let gradient_len = if layout.sums_per_thread { parameters.len() } else { 0 };
        let floats_per_thread = layout.scratch_len(batch_size.div_ceil(threads)) + gradient_len;
        // The batch size may come from a checkpoint. Check that the memory is available, because a failed allocation
        // aborts the process.
        try_with_capacity::<f32>(floats_per_thread.saturating_mul(threads), "the rows of a batch")?;
        let mut engine = Self {
            optimizer_state: vec![0.0; parameters.len() * optimizer.state_per_parameter()],
            gradients: vec![0.0; parameters.len()],
            scratch: layout.allocate_scratch(batch_size),
            thread_results: layout.thread_results(gradient_len),
            parameters,
            gradient_accumulation: generator.gradient_accumulation,
            layout,
            snapshot: None,
        };
        engine.thread_results[0].statistics = network.initial_statistics();
        engine.reset_ema();
        Ok(engine)
    }

    /// Runs a step and returns its metrics. `read_row` writes the inputs and the targets of a row, and returns its
    /// sample weight; see [`RowReader`].
    pub(crate) fn step(
        &mut self,
        step: &Step,
        read_row: impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync,
    ) -> BatchMetrics {
        self.run(step, &read_row, GradientUse::Update(step))
    }

    /// Returns the flat gradients. The training state does not change.
    pub(crate) fn gradients(
        &mut self,
        step: &Step,
        read_row: impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync,
    ) -> Vec<f32> {
        // Accumulated gradients are part of the training state, so restore them afterwards.
        let accumulated = if self.gradient_accumulation > 1 { self.gradients.clone() } else { Vec::new() };
        self.run(step, &read_row, GradientUse::Store { overwrites: true });
        if accumulated.is_empty() {
            self.gradients.clone()
        } else {
            std::mem::replace(&mut self.gradients, accumulated)
        }
    }

    /// Returns the outputs, row by row, for any number of rows of inputs.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<f32> {
        let values = NetworkValues { parameters: &self.parameters, statistics: self.statistics() };
        predict(&self.layout, values, inputs)
    }

    /// Returns the outputs like [`Engine::predict`], with the given parameters. The network must have no running
    /// statistics.
    pub(crate) fn predict_with(&self, parameters: &[f32], inputs: &[f32]) -> Vec<f32> {
        predict(&self.layout, NetworkValues { parameters, statistics: &[] }, inputs)
    }

    /// Returns the plan of the steps. It follows from the sizes, the CPU and the number of threads.
    pub(crate) fn plan(&self, network: &Network, batch_size: usize) -> Plan {
        let layout = &self.layout;
        let kernel = match (&layout.small_network, layout.sums_per_thread) {
            (Some(_), _) => CpuKernel::SimdRows,
            (None, true) => CpuKernel::RowBlocks,
            (None, false) => CpuKernel::FullBatch,
        };
        let threads = layout.threads;
        let scheme = Scheme::Cpu(CpuScheme { kernel, threads });
        // The debug text of pulp starts with the name of the instruction set, for example `V4`.
        let arch = format!("{:?}", layout.arch);
        let driver = format!("{}, {}", arch.split('(').next().unwrap_or_default(), l1_cache_text());
        let dispatch = PlannedDispatch {
            kernel: "whole step".to_owned(),
            workgroups: threads as u64,
            steps_per_dispatch: 1,
            flop: network.flop_per_step(batch_size),
            bytes: 4 * (4 * self.parameters.len() + batch_size * network.inputs()) as u64,
        };
        Plan {
            key: PlanKey::new("CPU engine".to_owned(), driver, network, batch_size),
            scheme,
            dispatches: vec![dispatch],
        }
    }

    /// Returns the flat parameters.
    pub(crate) fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// Returns the flat running statistics.
    pub(crate) fn statistics(&self) -> &[f32] {
        &self.thread_results[0].statistics
    }

    /// Sets the flat parameters and the flat running statistics, and resets the optimizer.
    pub(crate) fn set_parameters(&mut self, flat: &[f32], statistics: &[f32]) {
        self.parameters.copy_from_slice(flat);
        self.thread_results[0].statistics.copy_from_slice(statistics);
        self.optimizer_state.fill(0.0);
        self.reset_ema();
    }

    /// Sets the EMA to the parameters.
    fn reset_ema(&mut self) {
        for StateRange { parameters, state } in self.layout.ema_ranges(self.parameters.len()) {
            self.optimizer_state[state].copy_from_slice(&self.parameters[parameters]);
        }
    }

    /// Returns the flat EMA of the parameters if the optimizer keeps one.
    pub(crate) fn ema_parameters(&self) -> Option<Vec<f32>> {
        let mut flat = vec![0.0; self.parameters.len()];
        for StateRange { parameters, state } in self.layout.ema_ranges(flat.len()) {
            flat[parameters].copy_from_slice(&self.optimizer_state[state]);
        }
        self.layout.has_ema().then_some(flat)
    }

    /// Runs `work` in the thread pool if the engine has several threads.
    ///
    /// A step enters the pool itself, but entering it once for many steps is faster than waking a thread for each step.
    pub(crate) fn in_pool<R: Send>(&mut self, work: impl FnOnce(&mut Self) -> R + Send) -> R {
        if self.layout.threads == 1 { work(self) } else { rayon::scope(|_| work(self)) }
    }

    /// Runs loops with the vector instructions of this CPU; see [`Loops`].
    #[inline(always)]
    pub(crate) fn run_vectorized(&self, mut loops: impl FnMut()) {
        self.layout.arch.dispatch(Loops(
            #[inline(always)]
            |_| loops(),
        ));
    }

    /// Runs a step in the thread pool if the engine has several threads.
    fn run(&mut self, step: &Step, read_row: &RowReader<'_>, gradient_use: GradientUse<'_>) -> BatchMetrics {
        self.in_pool(|engine| engine.run_in_current_pool(step, read_row, gradient_use))
    }

    /// Runs a step. The calling thread must be in the thread pool if the engine has several threads.
    fn run_in_current_pool(
        &mut self,
        step: &Step,
        read_row: &RowReader<'_>,
        gradient_use: GradientUse<'_>,
    ) -> BatchMetrics {
        let Self {
            layout,
            parameters,
            optimizer_state: state,
            gradients,
            scratch,
            thread_results: results,
            gradient_accumulation,
            ..
        } = self;
        let updates_running_stats = matches!(gradient_use, GradientUse::Update(_));
        let count = step.rows as usize;
        let rows_per_thread = count.div_ceil(layout.threads);
        // In a smaller last batch, the last threads may have no rows.
        let results = &mut results[..count.div_ceil(rows_per_thread)];
        let process_rows = |(i, (result, scratch)): (usize, (&mut ThreadResult, &mut [f32]))| {
            let rows = i * rows_per_thread..count.min((i + 1) * rows_per_thread);
            let rows = ThreadRows { step, read_row, rows };
            layout.process_rows(parameters, rows, scratch, result, updates_running_stats);
        };
        if let [result] = results {
            process_rows((0, (result, scratch)));
        } else {
            let scratch = scratch.par_chunks_mut(layout.scratch_len(rows_per_thread));
            results.par_iter_mut().zip(scratch).enumerate().with_max_len(1).for_each(process_rows);
        }
        let source = if layout.sums_per_thread {
            GradientSource::ThreadSums(results)
        } else {
            GradientSource::Rows(&scratch[..count * layout.stride])
        };
        let stores_gradients = *gradient_accumulation > 1 || layout.needs_full_gradients();
        let overwrites = match gradient_use {
            GradientUse::Update(step) if stores_gradients => Some(step.clears_gradients == 1),
            GradientUse::Update(_) => None,
            GradientUse::Store { overwrites } => Some(overwrites),
        };
        if let Some(overwrites) = overwrites {
            let store = GradientUse::Store { overwrites };
            layout.apply_gradients(&layout.ranges, source, store, ParameterSlices { parameters, gradients, state });
            layout.add_vector_gradients(results, overwrites, gradients);
        } else {
            let flat = ParameterSlices { parameters, gradients, state };
            layout.apply_gradients(&layout.ranges, source, gradient_use, flat);
        }
        if let (GradientUse::Update(step), Some(_)) = (gradient_use, overwrites)
            && step.applies_update == 1
        {
            let full = GradientSource::Full(layout.clip_factor(gradients, *gradient_accumulation));
            let flat = ParameterSlices { parameters, gradients, state };
            layout.apply_gradients(&layout.ranges, full, gradient_use, flat);
        }
        let loss_sum: f64 = results.iter().map(|result| result.loss).sum();
        BatchMetrics {
            loss: (loss_sum * f64::from(step.loss_scale)) as f32,
            correct: results.iter().map(|result| result.correct).sum(),
        }
    }
}

#[cfg(test)]
mod tests;
