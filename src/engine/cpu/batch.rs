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
            gemm::matmul_columns,
            layer::{Layer, RowReader, ThreadResult},
            normalization::TrainingPass,
            small_network::SmallNetwork,
        },
        step::Step,
    },
    nn::{activation::Activation, layout::Layout, loss::Loss, network::Network},
    optim::optimizer::Optimizer,
    util::math::Loops,
};

/// Floats of a block of rows, so that it stays in a core's L2 cache with the weights beside it.
pub(crate) const BLOCK_FLOATS: usize = 128 * 1024;

/// The most parameters, in floats, of which every thread sums gradients of its own, in its L2 cache as well.
const MAX_THREAD_SUM_PARAMETERS: usize = 64 * 1024;

/// Floats in a cache line and in the longest vector register.
const CACHE_LINE_FLOATS: usize = 16;

/// All that stays the same from step to step.
pub(crate) struct BatchLayout {
    pub(crate) arch: Arch,
    loss: Loss,
    /// Whether each output is a label.
    is_multi_label: bool,
    optimizer: Optimizer,
    /// Whether nothing surrounds the optimizer's rule.
    is_plain_rule: bool,
    layers: Vec<Layer>,
    pub(crate) ranges: Vec<ParameterRange>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// The column of the expected outputs; where rows have weights, the one behind them is the weight's.
    target_offset: usize,
    has_sample_weights: bool,
    pub(crate) stride: usize,
    /// How many rows a thread takes through all layers at once.
    pub(crate) block_rows: usize,
    pub(crate) threads: usize,
    /// Whether every thread sums the gradients of its own rows.
    pub(crate) sums_per_thread: bool,
    /// How the rows of a small network lie in training.
    pub(crate) small_network: Option<SmallNetwork>,
    /// 1 for each parameter that penalties reach, 0 for a bias; empty if they reach all.
    penalty_mask: Vec<f32>,
}

/// A part of the flat parameters: rows of one layer's weights, the last of them with the biases and the padding.
pub(crate) struct ParameterRange {
    layer: usize,
    rows: Range<usize>,
    offset: usize,
}

/// How much of the penalties each parameter feels, where biases are spared.
fn penalty_mask(layout: &Layout, optimizer: &Optimizer) -> Vec<f32> {
    if optimizer.regularize_biases || !optimizer.has_penalties() {
        return Vec::new();
    }
    let mut reach = vec![1.0; layout.len];
    for tensor in layout.to_layers.iter().flat_map(|layer| &layer.tensors) {
        if tensor.spec.kind.is_trained() && !tensor.spec.kind.is_weight() {
            reach[tensor.offset..][..tensor.spec.len()].fill(0.0);
        }
    }
    reach
}

impl BatchLayout {
    pub(crate) fn new(
        network: &Network,
        (loss, labels, optimizer): (Loss, bool, Optimizer),
        (batch, weighted): (usize, bool),
        threads: usize,
    ) -> Self {
        let mut end = 0;
        let mut take = |width: usize| {
            let at = end;
            end += width.next_multiple_of(CACHE_LINE_FLOATS);
            at
        };
        let layout = network.layout();
        let from = take(network.inputs() + 1);
        let mut layers = Layer::for_network(network, from, &mut take);
        let expected = take(network.outputs() + usize::from(weighted));
        Layer::assign_delta_offsets(&mut layers, take);
        // An odd number of cache lines: rows a power of two apart would share a few sets of the cache.
        let stride = ((end / CACHE_LINE_FLOATS) | 1) * CACHE_LINE_FLOATS;

        let share = batch.div_ceil(threads);
        let block = (BLOCK_FLOATS / stride).max(CACHE_LINE_FLOATS);
        let small = SmallNetwork::new(network, (loss, labels), share, weighted);
        let own_sums = small.is_some()
            || (!network.has_per_neuron_parameters() && layout.len <= MAX_THREAD_SUM_PARAMETERS && share >= 2 * block);
        let mut parts = Vec::new();
        for (layer, Layer { layout: place, .. }) in layers.iter().enumerate() {
            let rows = place.inputs + 1;
            let share = if own_sums { rows } else { rows.div_ceil(threads) };
            for first in (0..rows).step_by(share) {
                let rows = first..rows.min(first + share);
                parts.push(ParameterRange { layer, rows, offset: place.weight_offset(first, 0) });
            }
        }
        if small.is_some() {
            // Nobody looks into them: the sums are one.
            parts.truncate(1);
        }
        Self {
            arch: Arch::new(),
            loss,
            is_multi_label: labels,
            optimizer,
            is_plain_rule: optimizer.is_plain_rule(),
            ranges: parts,
            layers,
            inputs: network.inputs(),
            outputs: network.outputs(),
            target_offset: expected,
            has_sample_weights: weighted,
            stride,
            block_rows: if own_sums { block } else { share },
            threads,
            sums_per_thread: own_sums,
            small_network: small,
            penalty_mask: penalty_mask(&layout, &optimizer),
        }
    }

    /// Floats that one thread needs for `share` rows.
    pub(crate) fn scratch_len(&self, share: usize) -> usize {
        let rows = if self.sums_per_thread { self.block_rows } else { share };
        self.small_network.as_ref().map_or(rows * self.stride, SmallNetwork::scratch_len)
    }

    /// The space of all threads, for a batch.
    pub(crate) fn allocate_scratch(&self, batch: usize) -> Vec<f32> {
        match &self.small_network {
            Some(small) => vec![0.0; self.threads * small.scratch_len()],
            None => self.blank_rows(if self.sums_per_thread { self.threads * self.block_rows } else { batch }),
        }
    }

    /// What the threads bring out, each with so many sums of its own.
    pub(crate) fn thread_results(&self, sums: usize) -> Vec<ThreadResult> {
        let (mut vectors, mut statistics) = (0, 0);
        for layer in &self.layers {
            vectors += layer.per_neuron_len();
            statistics += layer.statistics_len();
        }
        let lane = ThreadResult {
            gradients: vec![0.0; sums],
            vector_gradients: vec![0.0; vectors],
            inverse_stds: vec![0.0; statistics / 2],
            ..ThreadResult::default()
        };
        vec![lane; self.threads]
    }

    /// So many rows that are 0 but for the ones that the biases are multiplied by.
    pub(crate) fn blank_rows(&self, rows: usize) -> Vec<f32> {
        let mut blank = vec![0.0; rows * self.stride];
        for row in blank.chunks_exact_mut(self.stride) {
            for layer in &self.layers {
                row[layer.input_offset + layer.layout.inputs] = 1.0;
            }
        }
        blank
    }

    /// What one thread does with its rows: everything but the update. `space` holds all of them, or a block; `runs` says
    /// whether running statistics move.
    pub(crate) fn process_rows(
        &self,
        parameters: &[f32],
        step: &Step,
        read_row: &RowReader<'_>,
        rows: Range<usize>,
        space: &mut [f32],
        (lane, runs): (&mut ThreadResult, bool),
    ) {
        if let Some(small) = &self.small_network {
            return small.process_rows(parameters, step, read_row, rows, space, lane);
        }
        (lane.loss, lane.correct) = (0.0, 0.0);
        lane.vector_gradients.fill(0.0);
        for first in rows.clone().step_by(self.block_rows) {
            let block = &mut space[..self.block_rows.min(rows.end - first) * self.stride];
            for (row, number) in block.chunks_exact_mut(self.stride).zip(first..) {
                let (inputs, expected) = row.split_at_mut(self.target_offset);
                let weight = read_row(number, &mut inputs[..self.inputs], &mut expected[..self.outputs]);
                if self.has_sample_weights {
                    expected[self.outputs] = weight;
                }
            }
            self.forward(
                parameters,
                block,
                Some(TrainingPass { step, first_row: first, result: lane, updates_running_stats: runs }),
                &[],
            );
            self.evaluate_rows(step, block, lane);
            self.backward(parameters, block, lane);
            if self.sums_per_thread {
                let keep = if first == rows.start { 0.0 } else { 1.0 };
                for part in &self.ranges {
                    self.add_gradient(part, block, &mut lane.gradients[part.offset..], keep, 1.0);
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
            result.copy_from_slice(&row[last.output_offset..][..self.outputs]);
            if last.activation == Activation::Softmax {
                let normalizer = crate::metrics::row_metrics::log_sum_exp(result.iter().map(|y| f64::from(*y)));
                result.iter_mut().for_each(|y| *y = (f64::from(*y) - normalizer).exp() as f32);
            }
        }
    }

    /// `a = activation([x 1] [W; b])`, layer by layer.
    fn forward(
        &self,
        parameters: &[f32],
        rows: &mut [f32],
        mut training: Option<TrainingPass<'_>>,
        statistics: &[f32],
    ) {
        for layer in &self.layers {
            let inputs = layer.layout.inputs + 1;
            let (x, a) = (layer.input_offset..layer.input_offset + inputs, layer.output_offset);
            matmul_columns(rows, self.stride, x, layer.weights(parameters, inputs), a);
            self.arch.dispatch(Loops(
                #[inline(always)]
                |fma| {
                    if layer.has_per_neuron_parameters {
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
                    let outputs = layer.layout.outputs;
                    let (Some(slope), Some(TrainingPass { step, first_row: first, .. })) =
                        (layer.derivative_offset, &training)
                    else {
                        for row in rows.chunks_exact_mut(self.stride) {
                            elementwise::activate(fma, layer.activation, &mut row[a..a + outputs]);
                        }
                        return;
                    };
                    for (row, number) in rows.chunks_exact_mut(self.stride).zip(*first..) {
                        let (values, slopes) = row.split_at_mut(slope);
                        let (values, slopes) = (&mut values[a..a + outputs], &mut slopes[..outputs]);
                        layer.store_derivatives(fma, values, slopes);
                        elementwise::activate(fma, layer.activation, values);
                        layer.apply_dropout(values, slopes, |at| {
                            (at, step.first_position + number as u32, step.shuffle_key)
                        });
                    }
                },
            ));
        }
    }

    /// The loss, the right answers and the output layer's delta.
    fn evaluate_rows(&self, step: &Step, rows: &mut [f32], result: &mut ThreadResult) {
        let Some(layer) = self.layers.last() else {
            return;
        };
        self.arch.dispatch(Loops(
            #[inline(always)]
            |fma| {
                for row in rows.chunks_exact_mut(self.stride) {
                    let (values, delta) = row.split_at_mut(layer.delta_offset);
                    let y = &values[layer.output_offset..][..self.outputs];
                    let t = &values[self.target_offset..][..self.outputs];
                    let delta = &mut delta[..self.outputs];
                    let weight = if self.has_sample_weights { values[self.target_offset + self.outputs] } else { 1.0 };
                    result.loss += f64::from(weight) * crate::metrics::row_metrics::row_loss(self.loss, y, t);
                    result.correct += if crate::metrics::row_metrics::is_correct(self.loss, self.is_multi_label, y, t) {
                        f64::from(weight)
                    } else {
                        0.0
                    };
                    let kept = layer.columns(values, layer.derivative_offset, 1);
                    let (members, scale) = ((self.loss, layer.activation), step.loss_scale * weight);
                    elementwise::output_delta(fma, members, scale, (y, t, kept), delta);
                }
            },
        ));
    }

    /// `delta = (delta of the next layer) W^T` times the slope of the activation, from the last layer to the first.
    fn backward(&self, parameters: &[f32], rows: &mut [f32], result: &mut ThreadResult) {
        for pair in self.layers.windows(2).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let width = layer.layout.outputs;
            let weights = next.weights(parameters, width).transposed();
            let delta = next.delta_offset..next.delta_offset + next.layout.outputs;
            matmul_columns(rows, self.stride, delta, weights, layer.delta_offset);
            self.arch.dispatch(Loops(
                #[inline(always)]
                |_| {
                    if layer.has_per_neuron_parameters {
                        return crate::engine::cpu::normalization::backward(
                            layer,
                            parameters,
                            (&mut *rows, self.stride),
                            result,
                        );
                    }
                    for row in rows.chunks_exact_mut(self.stride) {
                        let (values, delta) = row.split_at_mut(layer.delta_offset);
                        let a = &values[layer.output_offset..][..width];
                        let kept = layer.columns(values, layer.derivative_offset, 1);
                        layer.multiply_by_derivative(a, kept, &mut delta[..width]);
                    }
                },
            ));
        }
    }

    /// Whether more than weights and biases are learned.
    pub(crate) fn has_per_neuron_parameters(&self) -> bool {
        self.layers.iter().any(|layer| layer.has_per_neuron_parameters)
    }

    pub(crate) fn needs_full_gradients(&self) -> bool {
        self.optimizer.needs_full_gradients() || self.has_per_neuron_parameters()
    }

    pub(crate) const fn has_ema(&self) -> bool {
        self.optimizer.ema_decay.is_some()
    }

    /// Where the parameters of each part lie among all `len`, and where their average lies in the state.
    pub(crate) fn ema_ranges(&self, len: usize) -> Vec<(Range<usize>, Range<usize>)> {
        if self.has_ema() { self.state_ranges(self.state_per_parameter() - 1, len) } else { Vec::new() }
    }

    /// Where the parameters of each part lie among all `len`, and where their numbers of one plane lie in the state.
    pub(crate) fn state_ranges(&self, plane: usize, len: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let ends = self.ranges[1..].iter().map(|part| part.offset).chain([len]);
        let places = self.ranges.iter().zip(ends).map(|(part, end)| {
            let start = self.state_per_parameter() * part.offset + plane * (end - part.offset);
            (part.offset..end, start..start + end - part.offset)
        });
        places.collect()
    }

    pub(crate) fn state_per_parameter(&self) -> usize {
        self.optimizer.state_per_parameter()
    }
}
