//! Where everything about a batch lies, and the work of one thread on its rows and its part of the parameters.
//!
//! One matrix holds a batch. A row of it is everything about one row of the batch:
//!
//! ```text
//! inputs 1 | outputs of the first layer 1 | ... | of the last 1 | expected | slopes | delta of the first layer ... last
//! ```
//!
//! Slopes are there for activations whose values do not tell them. The 1 makes the biases one more row of the weights, as which they lie anyway. A small network is trained in another
//! way, in [`crate::engine::cpu::small_network`].

pub(crate) mod finish;

use std::ops::Range;

use pulp::Arch;

use crate::{
    engine::{
        cpu::{
            elementwise,
            gemm::multiply_columns,
            layer::{Fill, Lane, Layer},
            normalization::Training,
            small_network::Small,
        },
        step::Step,
    },
    nn::{activation::Activation, layout::Layout, loss::Loss, network::Network},
    optim::optimizer::Optimizer,
    util::math::Loops,
};

/// Floats of a block of rows, so that it stays in a core's L2 cache with the weights beside it.
pub(crate) const BLOCK: usize = 128 * 1024;

/// The most parameters, in floats, of which every thread sums gradients of its own, in its L2 cache as well.
const SMALL_NETWORK: usize = 64 * 1024;

/// Floats in a cache line and in the longest vector register.
const LINE: usize = 16;

/// All that stays the same from step to step.
pub(crate) struct Shape {
    pub(crate) arch: Arch,
    loss: Loss,
    /// Whether each output is a label.
    labels: bool,
    optimizer: Optimizer,
    /// Whether nothing surrounds the optimizer's rule.
    only_follows: bool,
    layers: Vec<Layer>,
    pub(crate) parts: Vec<Part>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// The column of the expected outputs; where rows have weights, the one behind them is the weight's.
    expected: usize,
    weighted: bool,
    pub(crate) stride: usize,
    /// How many rows a thread takes through all layers at once.
    pub(crate) block: usize,
    pub(crate) threads: usize,
    /// Whether every thread sums the gradients of its own rows.
    pub(crate) own_sums: bool,
    /// How the rows of a small network lie in training.
    pub(crate) small: Option<Small>,
    /// 1 for each parameter that penalties reach, 0 for a bias; empty if they reach all.
    reach: Vec<f32>,
}

/// A part of the flat parameters: rows of one layer's weights, the last of them with the biases and the padding.
pub(crate) struct Part {
    layer: usize,
    rows: Range<usize>,
    offset: usize,
}

/// How much of the penalties each parameter feels, where biases are spared.
fn reach(layout: &Layout, optimizer: &Optimizer) -> Vec<f32> {
    if optimizer.penalizes_biases || !optimizer.penalizes() {
        return Vec::new();
    }
    let mut reach = vec![1.0; layout.len];
    for tensor in layout.layers.iter().flat_map(|layer| &layer.tensors) {
        if tensor.spec.kind.is_trained() && !tensor.spec.kind.is_weight() {
            reach[tensor.offset..][..tensor.spec.len()].fill(0.0);
        }
    }
    reach
}

impl Shape {
    pub(crate) fn new(
        network: &Network,
        (loss, labels, optimizer): (Loss, bool, Optimizer),
        (batch, weighted): (usize, bool),
        threads: usize,
    ) -> Self {
        let mut end = 0;
        let mut take = |width: usize| {
            let at = end;
            end += width.next_multiple_of(LINE);
            at
        };
        let layout = network.layout();
        let from = take(network.inputs() + 1);
        let mut layers = Layer::all(network, from, &mut take);
        let expected = take(network.outputs() + usize::from(weighted));
        Layer::place_deltas(&mut layers, take);
        // An odd number of cache lines: rows a power of two apart would share a few sets of the cache.
        let stride = ((end / LINE) | 1) * LINE;

        let share = batch.div_ceil(threads);
        let block = (BLOCK / stride).max(LINE);
        let small = Small::new(network, (loss, labels), share, weighted);
        let own_sums = small.is_some() || (!network.has_vectors() && layout.len <= SMALL_NETWORK && share >= 2 * block);
        let mut parts = Vec::new();
        for (layer, Layer { place, .. }) in layers.iter().enumerate() {
            let rows = place.inputs + 1;
            let share = if own_sums { rows } else { rows.div_ceil(threads) };
            for first in (0..rows).step_by(share) {
                let rows = first..rows.min(first + share);
                parts.push(Part { layer, rows, offset: place.at(first, 0) });
            }
        }
        if small.is_some() {
            // Nobody looks into them: the sums are one.
            parts.truncate(1);
        }
        Self {
            arch: Arch::new(),
            loss,
            labels,
            optimizer,
            only_follows: optimizer.only_follows_its_rule(),
            parts,
            layers,
            inputs: network.inputs(),
            outputs: network.outputs(),
            expected,
            weighted,
            stride,
            block: if own_sums { block } else { share },
            threads,
            own_sums,
            small,
            reach: reach(&layout, &optimizer),
        }
    }

    /// Floats that one thread needs for `share` rows.
    pub(crate) fn space(&self, share: usize) -> usize {
        let rows = if self.own_sums { self.block } else { share };
        self.small.as_ref().map_or(rows * self.stride, Small::space)
    }

    /// The space of all threads, for a batch.
    pub(crate) fn spaces(&self, batch: usize) -> Vec<f32> {
        match &self.small {
            Some(small) => vec![0.0; self.threads * small.space()],
            None => self.blank(if self.own_sums { self.threads * self.block } else { batch }),
        }
    }

    /// What the threads bring out, each with so many sums of its own.
    pub(crate) fn lanes(&self, sums: usize) -> Vec<Lane> {
        let (mut vectors, mut statistics) = (0, 0);
        for layer in &self.layers {
            vectors += layer.len_behind_the_sum();
            statistics += layer.statistics();
        }
        let lane = Lane {
            sums: vec![0.0; sums],
            vectors: vec![0.0; vectors],
            inverses: vec![0.0; statistics / 2],
            ..Lane::default()
        };
        vec![lane; self.threads]
    }

    /// So many rows that are 0 but for the ones that the biases are multiplied by.
    pub(crate) fn blank(&self, rows: usize) -> Vec<f32> {
        let mut blank = vec![0.0; rows * self.stride];
        for row in blank.chunks_exact_mut(self.stride) {
            for layer in &self.layers {
                row[layer.from + layer.place.inputs] = 1.0;
            }
        }
        blank
    }

    /// What one thread does with its rows: everything but the update. `space` holds all of them, or a block; `runs` says
    /// whether running statistics move.
    pub(crate) fn rows(
        &self,
        parameters: &[f32],
        step: &Step,
        fill: &Fill<'_>,
        rows: Range<usize>,
        space: &mut [f32],
        (lane, runs): (&mut Lane, bool),
    ) {
        if let Some(small) = &self.small {
            return small.rows(parameters, step, fill, rows, space, lane);
        }
        (lane.loss, lane.right) = (0.0, 0.0);
        lane.vectors.fill(0.0);
        for first in rows.clone().step_by(self.block) {
            let block = &mut space[..self.block.min(rows.end - first) * self.stride];
            for (row, number) in block.chunks_exact_mut(self.stride).zip(first..) {
                let (inputs, expected) = row.split_at_mut(self.expected);
                let weight = fill(number, &mut inputs[..self.inputs], &mut expected[..self.outputs]);
                if self.weighted {
                    expected[self.outputs] = weight;
                }
            }
            self.forward(parameters, block, Some(Training { step, first, lane, runs }), &[]);
            self.judge(step, block, lane);
            self.backward(parameters, block, lane);
            if self.own_sums {
                let keep = if first == rows.start { 0.0 } else { 1.0 };
                for part in &self.parts {
                    self.gradient(part, block, &mut lane.sums[part.offset..], keep, 1.0);
                }
            }
        }
    }

    /// The outputs for some rows of inputs; `space` holds as many rows.
    pub(crate) fn predict(
        &self,
        (parameters, statistics): (&[f32], &[f32]),
        space: &mut [f32],
        inputs: &[f32],
        results: &mut [f32],
    ) {
        let Some(last) = self.layers.last() else {
            return;
        };
        let inputs = inputs.chunks_exact(self.inputs);
        let rows = &mut space[..inputs.len() * self.stride];
        for (row, inputs) in rows.chunks_exact_mut(self.stride).zip(inputs) {
            row[..self.inputs].copy_from_slice(inputs);
        }
        self.forward(parameters, rows, None, statistics);
        let results = results.chunks_exact_mut(self.outputs);
        for (row, result) in rows.chunks_exact(self.stride).zip(results) {
            result.copy_from_slice(&row[last.to..][..self.outputs]);
            if last.activation == Activation::Softmax {
                let normalizer = crate::metrics::row_metrics::normalizer(result.iter().map(|y| f64::from(*y)));
                result.iter_mut().for_each(|y| *y = (f64::from(*y) - normalizer).exp() as f32);
            }
        }
    }

    /// `a = activation([x 1] [W; b])`, layer by layer.
    fn forward(&self, parameters: &[f32], rows: &mut [f32], mut training: Option<Training<'_>>, statistics: &[f32]) {
        for layer in &self.layers {
            let inputs = layer.place.inputs + 1;
            let (x, a) = (layer.from..layer.from + inputs, layer.to);
            multiply_columns(rows, self.stride, x, layer.weights(parameters, inputs), a);
            self.arch.dispatch(Loops(
                #[inline(always)]
                |fma| {
                    if layer.learns_behind_the_sum {
                        let rows = (&mut *rows, self.stride);
                        return crate::engine::cpu::normalization::forward(
                            layer,
                            fma,
                            parameters,
                            rows,
                            training.as_mut(),
                            statistics,
                        );
                    }
                    let outputs = layer.place.outputs;
                    let (Some(slope), Some(Training { step, first, .. })) = (layer.slope, &training) else {
                        for row in rows.chunks_exact_mut(self.stride) {
                            elementwise::activate(fma, layer.activation, &mut row[a..a + outputs]);
                        }
                        return;
                    };
                    for (row, number) in rows.chunks_exact_mut(self.stride).zip(*first..) {
                        let (values, slopes) = row.split_at_mut(slope);
                        let (values, slopes) = (&mut values[a..a + outputs], &mut slopes[..outputs]);
                        layer.keep_slopes(fma, values, slopes);
                        elementwise::activate(fma, layer.activation, values);
                        layer.drop_out(values, slopes, |at| (at, step.first + number as u32, step.key));
                    }
                },
            ));
        }
    }

    /// The loss, the right answers and the output layer's delta.
    fn judge(&self, step: &Step, rows: &mut [f32], lane: &mut Lane) {
        let Some(layer) = self.layers.last() else {
            return;
        };
        self.arch.dispatch(Loops(
            #[inline(always)]
            |fma| {
                for row in rows.chunks_exact_mut(self.stride) {
                    let (values, delta) = row.split_at_mut(layer.delta);
                    let y = &values[layer.to..][..self.outputs];
                    let t = &values[self.expected..][..self.outputs];
                    let delta = &mut delta[..self.outputs];
                    let weight = if self.weighted { values[self.expected + self.outputs] } else { 1.0 };
                    lane.loss += f64::from(weight) * crate::metrics::row_metrics::loss_of_row(self.loss, y, t);
                    lane.right += if crate::metrics::row_metrics::is_right(self.loss, self.labels, y, t) {
                        f64::from(weight)
                    } else {
                        0.0
                    };
                    let kept = layer.columns(values, layer.slope, 1);
                    let (members, scale) = ((self.loss, layer.activation), step.scale * weight);
                    elementwise::output_delta(fma, members, scale, (y, t, kept), delta);
                }
            },
        ));
    }

    /// `delta = (delta of the next layer) W^T` times the slope of the activation, from the last layer to the first.
    fn backward(&self, parameters: &[f32], rows: &mut [f32], lane: &mut Lane) {
        for pair in self.layers.windows(2).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let width = layer.place.outputs;
            let weights = next.weights(parameters, width).transposed();
            let delta = next.delta..next.delta + next.place.outputs;
            multiply_columns(rows, self.stride, delta, weights, layer.delta);
            self.arch.dispatch(Loops(
                #[inline(always)]
                |_| {
                    if layer.learns_behind_the_sum {
                        return crate::engine::cpu::normalization::backward(
                            layer,
                            parameters,
                            (&mut *rows, self.stride),
                            lane,
                        );
                    }
                    for row in rows.chunks_exact_mut(self.stride) {
                        let (values, delta) = row.split_at_mut(layer.delta);
                        let a = &values[layer.to..][..width];
                        let kept = layer.columns(values, layer.slope, 1);
                        layer.times_slope(a, kept, &mut delta[..width]);
                    }
                },
            ));
        }
    }

    /// Whether more than weights and biases are learned.
    pub(crate) fn has_vectors(&self) -> bool {
        self.layers.iter().any(|layer| layer.learns_behind_the_sum)
    }

    pub(crate) fn needs_whole_gradients(&self) -> bool {
        self.optimizer.needs_whole_gradients() || self.has_vectors()
    }

    pub(crate) const fn has_average(&self) -> bool {
        self.optimizer.average.is_some()
    }

    /// Where the parameters of each part lie among all `len`, and where their average lies in the state.
    pub(crate) fn averages(&self, len: usize) -> Vec<(Range<usize>, Range<usize>)> {
        if self.has_average() { self.plane(self.planes() - 1, len) } else { Vec::new() }
    }

    /// Where the parameters of each part lie among all `len`, and where their numbers of one plane lie in the state.
    pub(crate) fn plane(&self, plane: usize, len: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let ends = self.parts[1..].iter().map(|part| part.offset).chain([len]);
        let places = self.parts.iter().zip(ends).map(|(part, end)| {
            let start = self.planes() * part.offset + plane * (end - part.offset);
            (part.offset..end, start..start + end - part.offset)
        });
        places.collect()
    }

    pub(crate) fn planes(&self) -> usize {
        self.optimizer.planes()
    }
}
