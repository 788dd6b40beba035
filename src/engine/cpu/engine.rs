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
                Shape,
                finish::{Flat, Purpose, Source},
            },
            gemm::first_cache,
            layer::{Fill, Lane},
            predictor::predict,
        },
        step::{Course, Step},
    },
    error::{Result, room},
    nn::{network::Network, normalization::Norm},
    plan::{Identity, Plan, PlanRow, Scheme},
    util::math::Loops,
};

/// The work, about 20 us of it, that is worth a thread: waking one for less takes longer than it saves (measured on two
/// cores of a Zen 5).
const FLOP_OF_A_THREAD: u64 = 4_000_000;

/// What a step found, before its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) loss: f32,
    pub(crate) right: f64,
}

/// A network in training.
pub(crate) struct Engine {
    pub(crate) shape: Shape,
    pub(crate) parameters: Vec<f32>,
    /// What the optimizer keeps; the planes of a part of the parameters lie together.
    pub(crate) state: Vec<f32>,
    pub(crate) gradients: Vec<f32>,
    rows: Vec<f32>,
    pub(crate) lanes: Vec<Lane>,
    /// How many batches make an update.
    pub(crate) accumulate: u64,
    /// Parameters, state, statistics and gradients as they were when [`Engine::keep`] was called.
    pub(crate) kept: Option<[Vec<f32>; 4]>,
}

impl Engine {
    /// A trainer for a course, in as many threads as are asked for or seem worth it, whose rows may have weights; `parameters`
    /// lie as [`Network::layout`] says. An error where the system has no room for the rows of a batch.
    pub(crate) fn new(
        network: &Network,
        course: &Course,
        weighted: bool,
        parameters: Vec<f32>,
        asked: Option<usize>,
    ) -> Result<Self> {
        let Course { loss, labels, optimizer, batch, .. } = *course;
        let worth = (network.flop(batch) / FLOP_OF_A_THREAD).min(batch as u64) as usize;
        // A small training does not even start the pool of threads.
        // A batch norm looks at all rows of the batch.
        let is_whole = network.layers().iter().any(|layer| layer.norm == Some(Norm::Batch));
        let threads = if worth < 2 || is_whole { 1 } else { worth.min(rayon::current_num_threads()) };
        let threads = asked.filter(|asked| !is_whole && *asked <= batch).unwrap_or(threads);
        let shape = Shape::new(network, (loss, labels, optimizer), (batch, weighted), threads);
        let sums = if shape.own_sums { parameters.len() } else { 0 };
        let floats = shape.space(batch.div_ceil(threads)) + sums;
        // Asked for before it is taken: a checkpoint's batch is its writer's, and what cannot be is an error and no abort.
        room::<f32>(floats.saturating_mul(threads), "the rows of a batch")?;
        let mut engine = Self {
            state: vec![0.0; parameters.len() * optimizer.planes()],
            gradients: vec![0.0; parameters.len()],
            rows: shape.spaces(batch),
            lanes: shape.lanes(sums),
            parameters,
            accumulate: course.accumulate,
            shape,
            kept: None,
        };
        engine.lanes[0].statistics = network.first_statistics();
        engine.start();
        Ok(engine)
    }

    /// A step; `fill` writes the inputs and the expected outputs of a row of the batch, and tells what it weighs.
    pub(crate) fn step(&mut self, step: &Step, fill: impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync) -> Outcome {
        self.run(step, &fill, Purpose::Update(step))
    }

    /// The gradients, flat as the parameters are; nothing changes.
    pub(crate) fn gradients(
        &mut self,
        step: &Step,
        fill: impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync,
    ) -> Vec<f32> {
        // Those that are being accumulated have to stay.
        let kept = if self.accumulate > 1 { self.gradients.clone() } else { Vec::new() };
        self.run(step, &fill, Purpose::Keep { starts: true });
        if kept.is_empty() { self.gradients.clone() } else { std::mem::replace(&mut self.gradients, kept) }
    }

    /// The outputs, row by row, for any number of rows of inputs.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<f32> {
        predict(&self.shape, (&self.parameters, self.statistics()), inputs)
    }

    /// The same with other parameters, of a network without running statistics.
    pub(crate) fn predict_of(&self, parameters: &[f32], inputs: &[f32]) -> Vec<f32> {
        predict(&self.shape, (parameters, &[]), inputs)
    }

    /// How steps are computed. All of it follows from the sizes, the CPU and the number of threads.
    pub(crate) fn plan(&self, network: &Network, batch: usize) -> Plan {
        let shape = &self.shape;
        let way = match (&shape.small, shape.own_sums) {
            (Some(_), _) => "rows in vector lanes",
            (None, true) => "blocks of rows, with gradients of their own",
            (None, false) => "all rows, with gradients for all",
        };
        let threads = shape.threads;
        let scheme = Scheme::Cpu(format!("{way}, {threads} thread{}", if threads == 1 { "" } else { "s" }));
        // pulp's name of the vector instructions that are used, such as V4.
        let vectors = format!("{:?}", shape.arch);
        let driver = format!("{}, {}", vectors.split('(').next().unwrap_or_default(), first_cache());
        let of = Identity::new("CPU engine".to_owned(), driver, network, batch);
        let (kernel, flop) = ("whole step".to_owned(), network.flop(batch));
        let bytes = 4 * (4 * self.parameters.len() + batch * network.inputs()) as u64;
        Plan { of, scheme, table: vec![PlanRow { kernel, workgroups: threads as u64, steps: 1, flop, bytes }] }
    }

    /// The parameters, flat.
    pub(crate) fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The running statistics, flat.
    pub(crate) fn statistics(&self) -> &[f32] {
        &self.lanes[0].statistics
    }

    /// Sets the parameters and the running statistics, flat; the optimizer starts anew.
    pub(crate) fn set_parameters(&mut self, flat: &[f32], statistics: &[f32]) {
        self.parameters.copy_from_slice(flat);
        self.lanes[0].statistics.copy_from_slice(statistics);
        self.state.fill(0.0);
        self.start();
    }

    /// The average of the parameters starts as they are.
    fn start(&mut self) {
        for (place, average) in self.shape.averages(self.parameters.len()) {
            self.state[average].copy_from_slice(&self.parameters[place]);
        }
    }

    /// The average of the parameters, flat; none if none is kept.
    pub(crate) fn average(&self) -> Option<Vec<f32>> {
        let mut flat = vec![0.0; self.parameters.len()];
        for (place, average) in self.shape.averages(flat.len()) {
            flat[place].copy_from_slice(&self.state[average]);
        }
        self.shape.has_average().then_some(flat)
    }

    /// Runs `work` in the pool of threads, if this network needs one. A step enters it by itself, but waking a thread
    /// for each costs more than entering once for many.
    pub(crate) fn in_pool<R: Send>(&mut self, work: impl FnOnce(&mut Self) -> R + Send) -> R {
        if self.shape.threads == 1 { work(self) } else { rayon::scope(|_| work(self)) }
    }

    /// Runs loops with the vector instructions that the CPU has; see [`Loops`].
    #[inline(always)]
    pub(crate) fn in_vectors(&self, mut loops: impl FnMut()) {
        self.shape.arch.dispatch(Loops(
            #[inline(always)]
            |_| loops(),
        ));
    }

    fn run(&mut self, step: &Step, fill: &Fill<'_>, purpose: Purpose<'_>) -> Outcome {
        self.in_pool(|engine| engine.run_here(step, fill, purpose))
    }

    fn run_here(&mut self, step: &Step, fill: &Fill<'_>, purpose: Purpose<'_>) -> Outcome {
        let Self { shape, parameters, state, gradients, rows, lanes, accumulate, .. } = self;
        let runs = matches!(purpose, Purpose::Update(_));
        let count = step.rows as usize;
        let share = count.div_ceil(shape.threads);
        // The last threads may have no rows of a short batch.
        let lanes = &mut lanes[..count.div_ceil(share)];
        let one = |(i, (lane, space)): (usize, (&mut Lane, &mut [f32]))| {
            shape.rows(parameters, step, fill, i * share..count.min((i + 1) * share), space, (lane, runs));
        };
        if let [lane] = lanes {
            one((0, (lane, rows)));
        } else {
            let spaces = rows.par_chunks_mut(shape.space(share));
            lanes.par_iter_mut().zip(spaces).enumerate().with_max_len(1).for_each(one);
        }
        let source = if shape.own_sums { Source::Sums(lanes) } else { Source::Rows(&rows[..count * shape.stride]) };
        let keeps = *accumulate > 1 || shape.needs_whole_gradients();
        let starts = match purpose {
            Purpose::Update(step) if keeps => Some(step.starts == 1),
            Purpose::Update(_) => None,
            Purpose::Keep { starts } => Some(starts),
        };
        if let Some(starts) = starts {
            let keep = Purpose::Keep { starts };
            shape.finish(&shape.parts, source, keep, Flat { parameters, gradients, state });
            shape.add_vectors(lanes, starts, gradients);
        } else {
            shape.finish(&shape.parts, source, purpose, Flat { parameters, gradients, state });
        }
        if let (Purpose::Update(step), Some(_)) = (purpose, starts)
            && step.updates == 1
        {
            let whole = Source::Whole(shape.clipping(gradients, *accumulate));
            shape.finish(&shape.parts, whole, purpose, Flat { parameters, gradients, state });
        }
        let sum: f64 = lanes.iter().map(|lane| lane.loss).sum();
        Outcome { loss: (sum * f64::from(step.scale)) as f32, right: lanes.iter().map(|lane| lane.right).sum() }
    }
}

#[cfg(test)]
mod tests;
