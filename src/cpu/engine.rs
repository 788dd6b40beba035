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

use super::{
    gemm::first_cache,
    layer::{Fill, Lane},
    predictor::predict,
    shape::{Flat, Purpose, Shape, Source},
};
use crate::{
    Network, Norm, Result,
    error::room,
    math::Loops,
    plan::{Identity, Plan, PlanRow, Scheme},
    step::{Course, Step},
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
    pub(super) shape: Shape,
    pub(super) parameters: Vec<f32>,
    /// What the optimizer keeps; the planes of a part of the parameters lie together.
    pub(super) state: Vec<f32>,
    pub(super) gradients: Vec<f32>,
    rows: Vec<f32>,
    pub(super) lanes: Vec<Lane>,
    /// How many batches make an update.
    pub(super) accumulate: u64,
    /// Parameters, state, statistics and gradients as they were when [`Engine::keep`] was called.
    pub(super) kept: Option<[Vec<f32>; 4]>,
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
mod tests {
    use super::*;
    use crate::{
        Activation, Init, LayerParameters, Loss, Optimizer,
        cpu::reference::{Parameters, Reference},
        judge,
    };

    const ROWS: usize = 1100;

    /// Numbers between -1 and 1 without a pattern.
    fn number(i: usize) -> f32 {
        (i as f32 * 12.9898).sin()
    }

    /// What a row weighs, if rows have weights.
    fn weight(row: usize) -> f32 {
        (row % 5) as f32 * 0.5
    }

    fn fill(first: usize) -> impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync {
        move |row, inputs, expected| {
            inputs.iter_mut().enumerate().for_each(|(i, x)| *x = number((first + row) * 31 + i));
            expected.fill(0.0);
            expected[(first + row) * 7 % expected.len()] = ((first + row) % 2) as f32;
            weight(first + row)
        }
    }

    fn course(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize) -> Course {
        Course { outputs: network.outputs(), loss, optimizer, ..Course::plain(ROWS, batch) }
    }

    fn engine(network: &Network, course: &Course, weighted: bool) -> Engine {
        Engine::new(network, course, weighted, network.initial(3).unwrap(), None).unwrap()
    }

    fn train(engine: &mut Engine, course: &Course, steps: u64) -> Vec<Outcome> {
        let step = |n| course.step(n, n);
        (0..steps).map(|n| engine.step(&step(n), fill(step(n).first as usize))).collect()
    }

    /// Trains beside the reference and compares all that comes out.
    fn compare(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize, weighted: bool) {
        let network = network.clone().init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
        compare_course(&network, &course(&network, loss, optimizer, batch), weighted);
    }

    fn numbers(layer: &LayerParameters) -> impl Iterator<Item = &f32> + Clone {
        let LayerParameters { weight, bias, gain, shift, slope, .. } = layer;
        [weight, bias, gain, shift, slope].into_iter().flatten()
    }

    fn their_numbers(layer: &Parameters) -> impl Iterator<Item = &f64> + Clone {
        let Parameters { weight, bias, gain, shift, slope } = layer;
        [weight, bias, gain, shift, slope].into_iter().flatten()
    }

    fn layers(network: &Network, engine: &Engine) -> Vec<LayerParameters> {
        let mut layers = network.layout().layers(&engine.parameters);
        network.layout().put_statistics(engine.statistics(), &mut layers);
        layers
    }

    fn compare_course(network: &Network, course: &Course, weighted: bool) {
        let Course { loss, labels, optimizer, batch, .. } = *course;
        let layout = network.layout();
        let mut engine = engine(network, course, weighted);
        let mut reference = Reference::new(network, loss, optimizer, &layers(network, &engine))
            .unwrap()
            .accumulating(course.accumulate);
        let what = format!("{:?}, {loss}, {optimizer:?}, batch {batch}, weighted {weighted}", network.layers());
        // A norm divides by what is small at times, so that what was rounded grows, and a sum near 0 may fall to either side
        // of a learned kink.
        let within = match (network.has_vectors(), optimizer.rounds_coarsely()) {
            (true, _) => 1e-2,
            (false, true) => 2e-3,
            (false, false) => 1e-5,
        };
        let close = |ours: f32, theirs: f64, largest: f64| (f64::from(ours) - theirs).abs() <= within * largest;
        let rows = |first: usize, count: usize| {
            let (mut inputs, mut expected) = (vec![0.0; network.inputs()], vec![0.0; network.outputs()]);
            let (mut all, mut wanted, mut weights) = (Vec::new(), Vec::new(), Vec::new());
            for row in 0..count {
                let weight = fill(first)(row, &mut inputs, &mut expected);
                weights.push(if weighted { f64::from(weight) } else { 1.0 });
                all.extend(inputs.iter().map(|x| f64::from(*x)));
                wanted.extend(expected.iter().map(|t| f64::from(*t)));
            }
            (all, wanted, weights)
        };
        // The reference takes its time for large batches.
        for n in 0..if batch < 250 { 20 } else { 7 } {
            let step = course.step(n, n);
            let (inputs, expected, weights) = rows(step.first as usize, step.rows as usize);
            if n % 6 == 0 && network.layers().iter().all(|layer| layer.dropout == 0.0) {
                let before = (engine.parameters.clone(), engine.state.clone());
                let ours = layout.layers(&engine.gradients(&step, fill(step.first as usize)));
                assert!(
                    before == (engine.parameters.clone(), engine.state.clone()),
                    "gradients change nothing: {what}"
                );
                let theirs = reference.gradients_weighted(&inputs, &expected, &weights).unwrap();
                for (ours, theirs) in ours.iter().zip(theirs) {
                    let largest = theirs.weight.iter().chain(&theirs.bias).fold(0.0f64, |m, g| m.max(g.abs()));
                    let pairs = numbers(ours).zip(their_numbers(&theirs));
                    assert!(pairs.clone().all(|(o, t)| close(*o, *t, largest)), "gradients of step {n}: {what}");
                }
            }
            let outcome = engine.step(&step, fill(step.first as usize));
            let y = reference.predict(&inputs).unwrap();
            let drops = network.layers().iter().any(|layer| layer.dropout > 0.0);
            let theirs = reference
                .step_with_factors(
                    &inputs,
                    &expected,
                    &weights,
                    network.dropout_factors(step.key, step.first, step.rows),
                )
                .unwrap();
            assert!(close(outcome.loss, theirs, theirs.abs()), "step {n}: {outcome:?} and {theirs}: {what}");
            let narrow = |row: &[f64]| row.iter().map(|v| *v as f32).collect::<Vec<_>>();
            let outputs = network.outputs();
            let pairs = y.chunks_exact(outputs).zip(expected.chunks_exact(outputs));
            let is_right = pairs.map(|(y, t)| judge::is_right(loss, labels, &narrow(y), &narrow(t)));
            let right: f64 = is_right.zip(&weights).filter(|(is_right, _)| *is_right).map(|(_, weight)| weight).sum();
            let heaviest = weights.iter().fold(0.0, |most: f64, weight| most.max(*weight));
            // A row near the threshold may fall to either side.
            assert!(
                drops || (right - outcome.right).abs() <= heaviest * (1.0 + 1e-9),
                "step {n}: {outcome:?} and {right} right: {what}"
            );
        }
        for (ours, theirs) in layout.layers(&engine.parameters).iter().zip(reference.parameters()) {
            let largest = theirs.weight.iter().chain(&theirs.bias).fold(0.0f64, |m, p| m.max(p.abs()));
            let pairs = numbers(ours).zip(their_numbers(theirs));
            assert!(pairs.clone().all(|(o, t)| close(*o, *t, largest)), "parameters: {what}");
        }
        assert_eq!(layout.flat(&layout.layers(&engine.parameters)), engine.parameters, "padding stays 0: {what}");
        let (inputs, ..) = rows(0, 300);
        let ours = engine.predict(&inputs.iter().map(|x| *x as f32).collect::<Vec<_>>());
        let theirs = reference.predict(&inputs).unwrap();
        let largest = theirs.iter().fold(0.0f64, |m, y| m.max(y.abs()));
        assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(o, t)| close(*o, *t, largest)), "{what}");
    }

    #[test]
    fn a_training_follows_the_reference_for_every_member() {
        // Every member meets two of the other families, in a small network and in one that is not.
        for (turn, (width, batch)) in [(17, 32), (100, 5)].into_iter().enumerate() {
            let losses = Loss::ALL.iter().cycle().skip(turn);
            let optimizers = Optimizer::ALL.iter().cycle().skip(3 * turn);
            for ((activation, loss), optimizer) in Activation::ALL.iter().zip(losses).zip(optimizers) {
                let last = loss.output_activation().unwrap_or(*activation);
                let network = Network::new(7).dense(width, *activation).dense(3, last);
                [false, true].iter().for_each(|weighted| compare(&network, *loss, *optimizer, batch, *weighted));
            }
        }
    }

    #[test]
    fn a_training_follows_the_reference_at_every_size() {
        let sigmoid = Activation::Sigmoid;
        // The textbook's, one with a velocity, here with weights, and one with all that surrounds a rule.
        for (optimizer, weighted) in
            [(0, false), (1, true), (13, false)].map(|(i, weighted)| (&Optimizer::ALL[i], weighted))
        {
            // The last three take the paths of many threads: with one gradient for all, with one for each, and with
            // the rows in the lanes. Batches of 8 and fewer have lanes of their own.
            for (widths, batch) in [
                (&[1, 1][..], 1),
                (&[3, 8, 8, 2], 1),
                (&[5, 13, 4], 8),
                (&[5, 13, 4], 9),
                (&[3, 17, 1], 300),
                (&[17, 3, 100, 2], 1100),
                (&[100, 17, 17, 17, 3], 7),
                (&[100, 300, 300, 17], 250),
                (&[17, 100, 100, 3], 1000),
                (&[20, 40, 40, 5], 1000),
            ] {
                let start = Network::new(widths[0]);
                let network = widths[1..].iter().fold(start, |network, width| network.dense(*width, sigmoid));
                compare(&network, Loss::Mse, *optimizer, batch, weighted);
            }
        }
    }

    /// Networks with norms, dropout among them, and learned slopes.
    fn learning_more(width: usize) -> [Network; 3] {
        let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { slope: 0.25 });
        let first = Network::new(7).dense(width, tanh);
        [
            first.clone().layer_norm().dense(width, Activation::Gelu).layer_norm().dropout(0.3).dense(3, tanh),
            first.batch_norm().dense(width, Activation::Silu).dropout(0.2).batch_norm().dense(3, tanh),
            Network::new(7).dense(width, prelu).dense(width, prelu).dense(3, tanh),
        ]
    }

    #[test]
    fn norms_and_learned_slopes_follow_the_reference() {
        for (width, batch) in [(9, 9), (100, 40), (300, 250), (40, 1000)] {
            for network in learning_more(width) {
                for optimizer in [Optimizer::sgd(0.1), Optimizer::momentum(0.05, 0.9).weight_decay(0.01).spare_biases()]
                {
                    compare(&network, Loss::Mse, optimizer, batch, batch == 250);
                }
            }
        }
    }

    #[test]
    fn dropout_follows_the_reference() {
        for (width, batch) in [(9, 9), (100, 5), (300, 250), (40, 1000)] {
            for activation in [Activation::Sigmoid, Activation::Gelu] {
                let network = Network::new(7).dense(width, activation).dropout(0.3).dense(width, Activation::Tanh);
                compare(
                    &network.dropout(0.6).dense(3, Activation::Sigmoid),
                    Loss::Mse,
                    Optimizer::sgd(0.1),
                    batch,
                    false,
                );
            }
        }
    }

    #[test]
    fn accumulated_and_clipped_gradients_follow_the_reference() {
        let sigmoid = Activation::Sigmoid;
        let sgd = Optimizer::sgd(0.5);
        for (optimizer, accumulate) in [(sgd.clip_norm(0.02), 1), (sgd, 3), (sgd.clip_norm(0.02).l1(0.01), 2)] {
            for (widths, batch) in [(&[5, 13, 4][..], 9), (&[100, 300, 300, 17], 250), (&[17, 100, 100, 3], 1000)] {
                let start = Network::new(widths[0]);
                let network = widths[1..].iter().fold(start, |network, width| network.dense(*width, sigmoid));
                let network = network.init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
                let course = Course { accumulate, ..course(&network, Loss::Mse, optimizer, batch) };
                compare_course(&network, &course, true);
            }
        }
    }

    #[test]
    fn every_way_of_sharing_the_work_is_met_by_the_sizes_above() {
        let plan = |width, batch, threads| {
            let network = Network::new(width).dense(width, Activation::Tanh).dense(width, Activation::Tanh);
            let shape = Shape::new(&network, (Loss::Mse, false, Optimizer::sgd(0.1)), (batch, false), threads);
            (shape.small.is_some(), shape.own_sums, shape.parts.len())
        };
        assert_eq!(plan(100, 1000, 2), (false, true, 2));
        assert_eq!(plan(300, 250, 2), (false, false, 4));
        for (width, batch, threads) in [(2, 4, 1), (3, 9, 1), (30, 32, 1), (30, 1000, 2)] {
            assert_eq!(plan(width, batch, threads), (true, true, 1), "width {width}, batch {batch}");
        }
        for (width, batch) in [(10, 1), (17, 2), (30, 8), (40, 32), (100, 5)] {
            assert_eq!(plan(width, batch, 1), (false, false, 2), "width {width}, batch {batch}");
        }
    }

    #[test]
    fn the_same_training_gives_the_same_bits() {
        for (width, batch) in [(3, 4), (17, 20), (40, 1000), (30, 1), (100, 1000), (300, 250)] {
            let network = Network::new(width).dense(width, Activation::Tanh).dense(3, Activation::Sigmoid);
            let course = course(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), batch);
            let (mut one, mut other) = (engine(&network, &course, false), engine(&network, &course, false));
            assert_eq!(train(&mut one, &course, 10), train(&mut other, &course, 10));
            assert_eq!(one.parameters(), other.parameters());
        }
    }

    #[test]
    fn a_diverged_training_has_a_loss_of_nan() {
        for activation in Activation::ALL {
            for loss in Loss::ALL {
                let last = loss.output_activation().unwrap_or(*activation);
                let network = Network::new(2).dense(3, *activation).dense(2, last);
                let course = course(&network, *loss, Optimizer::sgd(0.1), 5);
                let mut engine = engine(&network, &course, false);
                engine.parameters[0] = f32::NAN;
                assert!(train(&mut engine, &course, 1)[0].loss.is_nan(), "{activation}, {loss}");
            }
        }
    }

    #[test]
    fn a_state_that_was_reset_is_as_new() {
        let network = Network::new(2).dense(3, Activation::Tanh).dense(2, Activation::Sigmoid);
        let course = course(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), 5);
        let mut engine = engine(&network, &course, false);
        train(&mut engine, &course, 3);
        let flat = engine.parameters.clone();
        engine.set_parameters(&flat, &[]);
        engine.set_parameters(&network.initial(3).unwrap(), &[]);
        train(&mut engine, &course, 3);
        let mut other = self::engine(&network, &course, false);
        train(&mut other, &course, 3);
        assert_eq!(engine.parameters(), other.parameters());
    }
}
