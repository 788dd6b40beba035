//! The fast trainer: f32, both products and element-wise loops in vector code, all cores.
//!
//! One matrix holds a batch, a row of it everything about one row of the batch:
//!
//! ```text
//! inputs 1 | outputs of layer 0, 1 | ... | outputs of the last layer, 1 | expected | delta of layer 0 | ... | of the last
//! ```
//!
//! The 1 makes the bias a row of the weights, which is how the parameters lie anyway. The rows are split over the threads
//! once: each takes its rows through all layers forward and back without waiting for another. Then the gradients:
//!
//! - of a large network, the weights are split over the threads, and each product goes over all rows of the batch;
//! - of a small network on many rows, every thread has summed the gradients of its rows already, block by block, so that
//!   a block never leaves the cache; now the threads' sums are added.
//!
//! Which thread computes what depends on sizes and on the number of threads alone, and so do the bits of the result.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::{
    gemm::{Matrix, multiply, multiply_columns},
    math,
};
use crate::{Activation, Loss, Network, Optimizer, judge, network::Place, step::Step};

/// Below so many operations a thread is not worth waking: that takes about 5 us (measured on a Zen 5, 2 cores).
const FLOP_OF_A_THREAD: u64 = 2_000_000;

/// Floats of a block of rows, so that it stays in a core's L2 cache with the weights beside it.
const BLOCK: usize = 96 * 1024;

/// The most parameters, in floats, of which every thread keeps its own sums of gradients, in its L2 cache as well.
const SMALL_NETWORK: usize = 64 * 1024;

/// Floats in a cache line and in the longest vector register.
const LINE: usize = 16;

/// What a step found, before its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) loss: f32,
    pub(crate) right: u32,
}

/// A network in training.
pub(crate) struct Engine {
    shape: Shape,
    parameters: Vec<f32>,
    /// What the optimizer keeps; the planes of a part lie together.
    state: Vec<f32>,
    gradients: Vec<f32>,
    rows: Vec<f32>,
    lanes: Vec<Lane>,
}

/// What one thread brings out of its rows.
#[derive(Clone, Default)]
struct Lane {
    loss: f64,
    right: u32,
    /// The gradients of its rows, where every thread sums its own.
    sums: Vec<f32>,
}

/// Where everything lies and who does what: all that stays the same from step to step.
struct Shape {
    arch: Arch,
    loss: Loss,
    optimizer: Optimizer,
    layers: Vec<Layer>,
    parts: Vec<Part>,
    inputs: usize,
    outputs: usize,
    /// The column of the expected outputs.
    expected: usize,
    stride: usize,
    /// How many rows are taken through all layers at once.
    block: usize,
    threads: usize,
    /// Whether every thread sums the gradients of its own rows.
    own_sums: bool,
}

/// A layer, and the columns of what it reads and writes.
struct Layer {
    place: Place,
    activation: Activation,
    from: usize,
    to: usize,
    delta: usize,
}

/// A part of the flat parameters: rows of one layer's weights, the last of them with the bias and the padding.
struct Part {
    layer: usize,
    rows: Range<usize>,
    offset: usize,
}

/// From what the gradients of a part are made.
#[derive(Clone, Copy)]
enum Source<'a> {
    Rows(&'a [f32]),
    Sums(&'a [Lane]),
}

impl Engine {
    /// A trainer for batches of up to `batch` rows; `parameters` lie as [`Network::layout`] says.
    pub(crate) fn new(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize, parameters: Vec<f32>) -> Self {
        let wanted = (network.flop(batch) / FLOP_OF_A_THREAD).min(batch as u64) as usize;
        // A small training does not even start the pool of threads.
        let threads = if wanted < 2 { 1 } else { wanted.min(rayon::current_num_threads()) };
        let shape = Shape::new(network, loss, optimizer, batch, threads);
        let sums = if shape.own_sums { parameters.len() } else { 0 };
        let rows = if shape.own_sums { threads * shape.block } else { batch };
        Self {
            state: vec![0.0; parameters.len() * optimizer.planes()],
            gradients: vec![0.0; parameters.len()],
            rows: shape.blank(rows),
            lanes: vec![Lane { sums: vec![0.0; sums], ..Lane::default() }; threads],
            parameters,
            shape,
        }
    }

    /// A step; `fill` writes the inputs and the expected outputs of a row of the batch.
    pub(crate) fn step(&mut self, step: &Step, fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync) -> Outcome {
        self.run(step, &fill, Some(step))
    }

    /// The gradients, flat as the parameters are; nothing changes.
    pub(crate) fn gradients(&mut self, step: &Step, fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync) -> Vec<f32> {
        self.run(step, &fill, None);
        self.gradients.clone()
    }

    /// The outputs, row by row, for any number of rows of inputs.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<f32> {
        let Shape { inputs: width, outputs, stride, layers, .. } = &self.shape;
        let block = (BLOCK / stride).max(64).min(inputs.len() / width);
        let mut results = vec![0.0; inputs.len() / width * outputs];
        let rows = || self.shape.blank(block);
        let predict = |rows: &mut Vec<f32>, (results, inputs): (&mut [f32], &[f32])| {
            let rows = &mut rows[..inputs.len() / width * stride];
            for (row, inputs) in rows.chunks_exact_mut(*stride).zip(inputs.chunks_exact(*width)) {
                row[..*width].copy_from_slice(inputs);
            }
            self.shape.forward(&self.parameters, rows);
            let y = layers.last().map_or(0, |layer| layer.to);
            for (row, result) in rows.chunks_exact(*stride).zip(results.chunks_exact_mut(*outputs)) {
                result.copy_from_slice(&row[y..y + outputs]);
            }
        };
        if inputs.len() > block * width {
            let blocks = results.par_chunks_mut(block * outputs).zip(inputs.par_chunks(block * width));
            blocks.for_each_init(rows, predict);
        } else if !inputs.is_empty() {
            predict(&mut rows(), (&mut results, inputs));
        }
        results
    }

    pub(crate) fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    pub(crate) fn parameters_mut(&mut self) -> &mut [f32] {
        &mut self.parameters
    }

    /// Forgets what the optimizer keeps.
    pub(crate) fn reset_state(&mut self) {
        self.state.fill(0.0);
    }

    /// Enters the pool of threads once for the whole step, if it is needed at all.
    fn run(&mut self, step: &Step, fill: &Fill<'_>, change: Option<&Step>) -> Outcome {
        if self.shape.threads == 1 {
            self.run_here(step, fill, change)
        } else {
            rayon::scope(|_| self.run_here(step, fill, change))
        }
    }

    fn run_here(&mut self, step: &Step, fill: &Fill<'_>, change: Option<&Step>) -> Outcome {
        let Self { shape, parameters, state, gradients, rows, lanes } = self;
        let count = step.rows as usize;
        let share = count.div_ceil(shape.threads);
        let lanes = &mut lanes[..count.div_ceil(share)];
        let one = |(i, (lane, rows)): (usize, (&mut Lane, &mut [f32]))| {
            shape.lane(parameters, step, fill, i * share..count.min((i + 1) * share), rows, lane);
        };
        if let [lane] = lanes {
            one((0, (lane, rows)));
        } else {
            let space = if shape.own_sums { shape.block } else { share };
            let rows = rows.par_chunks_mut(space * shape.stride);
            lanes.par_iter_mut().zip(rows).enumerate().with_max_len(1).for_each(one);
        }
        let source = match shape.own_sums {
            true => Source::Sums(lanes),
            false => Source::Rows(&rows[..count * shape.stride]),
        };
        shape.finish(&shape.parts, source, change, parameters, gradients, state);
        let sum: f64 = lanes.iter().map(|lane| lane.loss).sum();
        Outcome { loss: (sum * f64::from(step.scale)) as f32, right: lanes.iter().map(|lane| lane.right).sum() }
    }
}

type Fill<'a> = dyn Fn(usize, &mut [f32], &mut [f32]) + Sync + 'a;

impl Shape {
    fn new(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize, threads: usize) -> Self {
        let mut end = 0;
        let mut take = |width: usize| {
            let at = end;
            end += width.next_multiple_of(LINE);
            at
        };
        let layout = network.layout();
        let mut layers = Vec::with_capacity(layout.places.len());
        let mut from = take(network.inputs() + 1);
        for (layer, place) in network.layers().iter().zip(&layout.places) {
            let to = take(place.outputs + 1);
            layers.push(Layer { place: *place, activation: layer.activation, from, to, delta: 0 });
            from = to;
        }
        let expected = take(network.outputs());
        for layer in &mut layers {
            layer.delta = take(layer.place.outputs);
        }
        // An odd number of cache lines: rows a power of two apart would fall into the same few sets of the cache.
        let stride = (end / LINE | 1) * LINE;

        let share = batch.div_ceil(threads);
        let block = (BLOCK / stride).max(LINE);
        let own_sums = layout.len <= SMALL_NETWORK && share >= 2 * block;
        let parts = layers.iter().enumerate().flat_map(|(layer, Layer { place, .. })| {
            let rows = place.inputs + 1;
            let share = rows.div_ceil(threads);
            let part = move |first| Part { layer, rows: first..rows.min(first + share), offset: place.at(first, 0) };
            (0..rows).step_by(share).map(part)
        });
        Self {
            arch: Arch::new(),
            loss,
            optimizer,
            parts: parts.collect(),
            layers,
            inputs: network.inputs(),
            outputs: network.outputs(),
            expected,
            stride,
            block: if own_sums { block } else { share },
            threads,
            own_sums,
        }
    }

    /// So many rows that are 0 but for the ones that stand for the biases' input.
    fn blank(&self, rows: usize) -> Vec<f32> {
        let mut blank = vec![0.0; rows * self.stride];
        for row in blank.chunks_exact_mut(self.stride) {
            for layer in &self.layers {
                row[layer.from + layer.place.inputs] = 1.0;
            }
        }
        blank
    }

    /// What one thread does with its rows: everything but the update. `space` holds all of them, or a block.
    fn lane(
        &self,
        parameters: &[f32],
        step: &Step,
        fill: &Fill<'_>,
        rows: Range<usize>,
        space: &mut [f32],
        lane: &mut Lane,
    ) {
        (lane.loss, lane.right) = (0.0, 0);
        for first in rows.clone().step_by(self.block) {
            let block = &mut space[..self.block.min(rows.end - first) * self.stride];
            for (row, number) in block.chunks_exact_mut(self.stride).zip(first..) {
                let (values, expected) = row.split_at_mut(self.expected);
                fill(number, &mut values[..self.inputs], &mut expected[..self.outputs]);
            }
            self.forward(parameters, block);
            self.judge(step, block, lane);
            self.backward(parameters, block);
            if self.own_sums {
                let keep = if first == rows.start { 0.0 } else { 1.0 };
                for layer in &self.layers {
                    let sums = &mut lane.sums[layer.place.offset..];
                    self.gradient(layer, 0..layer.place.inputs + 1, block, sums, keep, 1.0);
                }
            }
        }
    }

    /// `a = activation([x 1] [W; b])`, layer by layer.
    fn forward(&self, parameters: &[f32], rows: &mut [f32]) {
        for Layer { place, activation, from, to, .. } in &self.layers {
            let weights = Matrix::new(&parameters[place.offset..], place.inputs + 1, place.outputs, place.stride);
            multiply_columns(rows, self.stride, *from..from + place.inputs + 1, weights, *to);
            self.arch.dispatch(
                #[inline(always)]
                || math::activate(*activation, rows, self.stride, *to, place.outputs),
            );
        }
    }

    /// The loss, the right answers and the output layer's delta.
    fn judge(&self, step: &Step, rows: &mut [f32], lane: &mut Lane) {
        let Some(layer) = self.layers.last() else {
            return;
        };
        self.arch.dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks_exact_mut(self.stride) {
                    let (values, delta) = row.split_at_mut(layer.delta);
                    let (y, t) = (&values[layer.to..][..self.outputs], &values[self.expected..][..self.outputs]);
                    lane.loss += judge::loss_of_row(self.loss, y, t);
                    lane.right += u32::from(judge::is_right(y, t));
                    math::output_delta(self.loss, layer.activation, step.scale, y, t, &mut delta[..self.outputs]);
                }
            },
        );
    }

    /// `delta = (delta of the next layer) W^T` times the slope of the activation, from the last layer to the first.
    fn backward(&self, parameters: &[f32], rows: &mut [f32]) {
        for pair in self.layers.windows(2).rev() {
            let [layer, Layer { place, delta, .. }] = pair else {
                continue;
            };
            let weights = Matrix::new(&parameters[place.offset..], place.inputs, place.outputs, place.stride);
            multiply_columns(rows, self.stride, *delta..delta + place.outputs, weights.transposed(), layer.delta);
            self.arch.dispatch(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact_mut(self.stride) {
                        let (values, delta) = row.split_at_mut(layer.delta);
                        let (a, delta) = (&values[layer.to..][..place.inputs], &mut delta[..place.inputs]);
                        math::times_slope(layer.activation, a, delta);
                    }
                },
            );
        }
    }

    /// `into = keep * into + scale [x 1]^T delta`, for some rows of a layer's parameters.
    fn gradient(&self, layer: &Layer, part: Range<usize>, rows: &[f32], into: &mut [f32], keep: f32, scale: f32) {
        let count = rows.len() / self.stride;
        let x = Matrix::new(&rows[layer.from + part.start..], count, part.len(), self.stride);
        let delta = Matrix::new(&rows[layer.delta..], count, layer.place.outputs, self.stride);
        multiply(x.transposed(), delta, into, layer.place.stride, keep, scale);
    }

    /// The gradients of `parts`, and the update if there is one; `p`, `g` and `state` begin at the first part.
    fn finish(
        &self,
        parts: &[Part],
        source: Source<'_>,
        change: Option<&Step>,
        p: &mut [f32],
        g: &mut [f32],
        state: &mut [f32],
    ) {
        let part = match parts {
            [] => return,
            [part] => part,
            _ => {
                let (left, right) = parts.split_at(parts.len() / 2);
                let middle = right[0].offset - left[0].offset;
                let (p, next_p) = p.split_at_mut(middle);
                let (g, next_g) = g.split_at_mut(middle);
                let (state, next_state) = state.split_at_mut(middle * self.optimizer.planes());
                let mut left = || self.finish(left, source, change, p, g, state);
                let mut right = || self.finish(right, source, change, next_p, next_g, next_state);
                if self.threads > 1 {
                    rayon::join(left, right);
                } else {
                    left();
                    right();
                }
                return;
            }
        };
        match (source, change, self.optimizer) {
            (Source::Rows(rows), Some(step), Optimizer::Sgd { .. }) => {
                // The product goes straight into the parameters.
                return self.gradient(&self.layers[part.layer], part.rows.clone(), rows, p, 1.0, -step.learning_rate);
            }
            (Source::Rows(rows), ..) => {
                self.gradient(&self.layers[part.layer], part.rows.clone(), rows, g, 0.0, 1.0);
            }
            (Source::Sums(lanes), ..) => self.arch.dispatch(
                #[inline(always)]
                || {
                    g.fill(0.0);
                    for lane in lanes {
                        g.iter_mut().zip(&lane.sums[part.offset..]).for_each(|(g, sum)| *g += sum);
                    }
                },
            ),
        }
        if let Some(step) = change {
            self.arch.dispatch(
                #[inline(always)]
                || math::update(self.optimizer, step, p, g, state),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, cpu::reference::Reference, step::Course};

    const ROWS: usize = 1100;

    /// Numbers between -1 and 1 without a pattern.
    fn number(i: usize) -> f32 {
        (i as f32 * 12.9898).sin()
    }

    fn fill(first: usize) -> impl Fn(usize, &mut [f32], &mut [f32]) + Sync {
        move |row, inputs, expected| {
            inputs.iter_mut().enumerate().for_each(|(i, x)| *x = number((first + row) * 31 + i));
            expected.fill(0.0);
            expected[(first + row) * 7 % expected.len().max(2) % expected.len()] = ((first + row) % 2) as f32;
        }
    }

    fn course(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize) -> Course {
        Course { rows: ROWS, batch, outputs: network.outputs(), loss, optimizer, seed: 1 }
    }

    fn engine(network: &Network, course: &Course) -> Engine {
        Engine::new(network, course.loss, course.optimizer, course.batch, network.initial(3))
    }

    fn train(engine: &mut Engine, course: &Course, steps: u64) -> Vec<Outcome> {
        let step = |n| course.step(n, 0);
        (0..steps).map(|n| engine.step(&step(n), fill(step(n).first as usize))).collect()
    }

    /// Trains beside the reference and compares all that comes out.
    fn compare(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize) {
        let network = network.clone().init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
        let (course, layout) = (course(&network, loss, optimizer, batch), network.layout());
        let mut engine = engine(&network, &course);
        let mut reference = Reference::new(&network, loss, optimizer, &layout.layers(&engine.parameters)).unwrap();
        let what = format!("{:?}, {loss}, {optimizer:?}, batch {batch}", network.layers());
        let close = |ours: f32, theirs: f64, largest: f64| (f64::from(ours) - theirs).abs() <= 1e-5 * largest;
        let rows = |first: usize, count: usize| {
            let (mut inputs, mut expected) = (vec![0.0; network.inputs()], vec![0.0; network.outputs()]);
            let (mut all, mut wanted) = (Vec::new(), Vec::new());
            for row in 0..count {
                fill(first)(row, &mut inputs, &mut expected);
                all.extend(inputs.iter().map(|x| f64::from(*x)));
                wanted.extend(expected.iter().map(|t| f64::from(*t)));
            }
            (all, wanted)
        };
        for n in 0..20 {
            let step = course.step(n, 0);
            let (inputs, expected) = rows(step.first as usize, step.rows as usize);
            if n % 9 == 0 {
                let before = (engine.parameters.clone(), engine.state.clone());
                let ours = layout.layers(&engine.gradients(&step, fill(step.first as usize)));
                assert!(
                    before == (engine.parameters.clone(), engine.state.clone()),
                    "gradients change nothing: {what}"
                );
                for (ours, theirs) in ours.iter().zip(reference.gradients(&inputs, &expected).unwrap()) {
                    let largest = theirs.weight.iter().chain(&theirs.bias).fold(0.0f64, |m, g| m.max(g.abs()));
                    let pairs = ours.weight.iter().chain(&ours.bias).zip(theirs.weight.iter().chain(&theirs.bias));
                    assert!(pairs.clone().all(|(o, t)| close(*o, *t, largest)), "gradients of step {n}: {what}");
                }
            }
            let outcome = engine.step(&step, fill(step.first as usize));
            let y = reference.predict(&inputs).unwrap();
            let theirs = reference.step(&inputs, &expected).unwrap();
            assert!(close(outcome.loss, theirs, theirs.abs()), "step {n}: {outcome:?} and {theirs}: {what}");
            let narrow = |row: &[f64]| row.iter().map(|v| *v as f32).collect::<Vec<_>>();
            let outputs = network.outputs();
            let pairs = y.chunks_exact(outputs).zip(expected.chunks_exact(outputs));
            let right = pairs.filter(|(y, t)| judge::is_right(&narrow(y), &narrow(t))).count();
            // A row near the threshold may fall to either side.
            assert!(right.abs_diff(outcome.right as usize) <= 1, "step {n}: {outcome:?} and {right} right: {what}");
        }
        for (ours, theirs) in layout.layers(&engine.parameters).iter().zip(reference.parameters()) {
            let largest = theirs.weight.iter().chain(&theirs.bias).fold(0.0f64, |m, p| m.max(p.abs()));
            let pairs = ours.weight.iter().chain(&ours.bias).zip(theirs.weight.iter().chain(&theirs.bias));
            assert!(pairs.clone().all(|(o, t)| close(*o, *t, largest)), "parameters: {what}");
        }
        assert_eq!(layout.flat(&layout.layers(&engine.parameters)), engine.parameters, "padding stays 0: {what}");
        let (inputs, _) = rows(0, 300);
        let ours = engine.predict(&inputs.iter().map(|x| *x as f32).collect::<Vec<_>>());
        let theirs = reference.predict(&inputs).unwrap();
        let largest = theirs.iter().fold(0.0f64, |m, y| m.max(y.abs()));
        assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(o, t)| close(*o, *t, largest)), "{what}");
    }

    #[test]
    fn a_training_follows_the_reference_for_every_member() {
        for activation in Activation::ALL {
            for loss in Loss::ALL {
                for optimizer in Optimizer::ALL {
                    let last = loss.output_activation().unwrap_or(*activation);
                    compare(&Network::new(7).dense(17, *activation).dense(3, last), *loss, *optimizer, 32);
                }
            }
        }
    }

    #[test]
    fn a_training_follows_the_reference_at_every_size() {
        let sigmoid = Activation::Sigmoid;
        for optimizer in Optimizer::ALL {
            // The last two take the paths of many threads: with one gradient for all, with one for each.
            for (widths, batch) in [
                (&[1, 1][..], 1),
                (&[3, 17, 1], 300),
                (&[17, 3, 100, 2], 1100),
                (&[100, 17, 17, 17, 3], 7),
                (&[100, 300, 300, 17], 250),
                (&[17, 100, 100, 3], 1000),
            ] {
                let start = Network::new(widths[0]);
                let network = widths[1..].iter().fold(start, |network, width| network.dense(*width, sigmoid));
                compare(&network, Loss::Mse, *optimizer, batch);
            }
        }
    }

    #[test]
    fn every_way_of_sharing_the_work_is_met_by_the_sizes_above() {
        let plan = |width, batch| {
            let network = Network::new(width).dense(width, Activation::Tanh).dense(width, Activation::Tanh);
            let shape = Shape::new(&network, Loss::Mse, Optimizer::sgd(0.1), batch, 2);
            (shape.own_sums, shape.parts.len())
        };
        assert_eq!(plan(100, 1000), (true, 4));
        assert_eq!(plan(300, 250), (false, 4));
    }

    #[test]
    fn the_same_training_gives_the_same_bits() {
        for (width, batch) in [(30, 10), (100, 1000), (300, 250)] {
            let network = Network::new(width).dense(width, Activation::Tanh).dense(3, Activation::Sigmoid);
            let course = course(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), batch);
            let (mut one, mut other) = (engine(&network, &course), engine(&network, &course));
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
                let mut engine = engine(&network, &course);
                engine.parameters_mut()[0] = f32::NAN;
                assert!(train(&mut engine, &course, 1)[0].loss.is_nan(), "{activation}, {loss}");
            }
        }
    }

    #[test]
    fn a_state_that_was_reset_is_as_new() {
        let network = Network::new(2).dense(3, Activation::Tanh).dense(2, Activation::Sigmoid);
        let course = course(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), 5);
        let mut engine = engine(&network, &course);
        train(&mut engine, &course, 3);
        engine.reset_state();
        engine.parameters_mut().copy_from_slice(&network.initial(3));
        train(&mut engine, &course, 3);
        let mut other = self::engine(&network, &course);
        train(&mut other, &course, 3);
        assert_eq!(engine.parameters(), other.parameters());
    }
}
