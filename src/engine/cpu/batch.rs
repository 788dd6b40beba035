//! The layout of a batch in memory, and the division of the work among threads.
//!
//! One matrix holds the batch. Each row of the matrix holds all values of one row of the batch:
//!
//! ```text
//! inputs 1 | outputs of the first layer 1 | ... | outputs of the last layer 1 | targets (sample weight) |
//! derivatives | normalized values | delta of the first layer | ... | delta of the last layer
//! ```
//!
//! Derivatives are stored only for layers whose derivatives do not follow from the outputs. With the constant 1 after
//! the inputs of a layer, the bias acts as one more row of the weights, which is how the parameters are stored. Small
//! networks use the layout of [`crate::engine::cpu::small_network`] instead.

pub(crate) mod gradients;
pub(crate) mod passes;

use std::ops::Range;

use pulp::Arch;

use crate::{
    engine::cpu::{
        layer::{Layer, ThreadResult},
        small_network::{SmallNetwork, SmallNetworkConfig},
    },
    nn::{layout::Layout, loss::Loss, network::Network},
    optim::optimizer::Optimizer,
};

/// The number of floats in a block of rows, so that the block and the weights fit into the L2 cache of a core.
pub(crate) const BLOCK_FLOATS: usize = 128 * 1024;

/// The maximum number of parameters, in floats, for which every thread sums gradients: these sums must fit into the L2
/// cache too.
const MAX_THREAD_SUM_PARAMETERS: usize = 64 * 1024;

/// The number of floats in a cache line, and in the longest vector register.
const CACHE_LINE_FLOATS: usize = 16;

/// The settings of a training run that determine a [`BatchLayout`].
#[derive(Clone, Copy)]
pub(crate) struct BatchConfig {
    pub(crate) loss: Loss,
    /// Whether the targets are multi-label: each output is a separate label.
    pub(crate) is_multi_label: bool,
    pub(crate) optimizer: Optimizer,
    pub(crate) batch_size: usize,
    pub(crate) has_sample_weights: bool,
    pub(crate) threads: usize,
}

/// Everything that stays constant from step to step: the columns of the layers, and the ranges of the threads.
pub(crate) struct BatchLayout {
    pub(crate) arch: Arch,
    loss: Loss,
    /// Whether the targets are multi-label.
    is_multi_label: bool,
    optimizer: Optimizer,
    /// Whether the optimizer uses its rule alone, without clipping, penalties or EMA.
    is_plain_rule: bool,
    layers: Vec<Layer>,
    pub(crate) ranges: Vec<ParameterRange>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// The first column of the targets. With sample weights, the column after the targets holds the sample weight.
    target_offset: usize,
    has_sample_weights: bool,
    /// The number of columns.
    pub(crate) stride: usize,
    /// The number of rows that a thread takes through all layers at once.
    pub(crate) block_rows: usize,
    pub(crate) threads: usize,
    /// Whether every thread sums the gradients of its rows.
    pub(crate) sums_per_thread: bool,
    /// The layout for training, if the network is small.
    pub(crate) small_network: Option<SmallNetwork>,
    /// 1 for each regularized parameter, 0 for each excluded one; empty if every parameter is regularized.
    penalty_mask: Vec<f32>,
}

/// A range of the flat parameters: some rows of the weights of one layer. The last row of a layer is the bias; the
/// range that contains it also contains the padding.
pub(crate) struct ParameterRange {
    layer: usize,
    rows: Range<usize>,
    offset: usize,
}

/// The position of a parameter range in the flat parameters, and the position of its values of one state vector in the
/// optimizer state.
pub(crate) struct StateRange {
    pub(crate) parameters: Range<usize>,
    pub(crate) state: Range<usize>,
}

/// Returns the penalty mask of an optimizer; see [`BatchLayout::penalty_mask`].
fn penalty_mask(layout: &Layout, optimizer: &Optimizer) -> Vec<f32> {
    if optimizer.regularize_biases || !optimizer.has_penalties() {
        return Vec::new();
    }
    let mut mask = vec![1.0; layout.len];
    for tensor in layout.layer_tensors.iter().flat_map(|layer| &layer.tensors) {
        if tensor.spec.kind.is_trained() && !tensor.spec.kind.is_weight() {
            mask[tensor.offset..][..tensor.spec.len()].fill(0.0);
        }
    }
    mask
}

impl BatchLayout {
    /// Assigns columns to the values of a row, and divides the parameters among the threads.
    pub(crate) fn new(network: &Network, config: BatchConfig) -> Self {
        let BatchConfig { loss, is_multi_label, optimizer, batch_size, has_sample_weights, threads } = config;
        let mut end = 0;
        let mut allocate = |width: usize| {
            let start = end;
            end += width.next_multiple_of(CACHE_LINE_FLOATS);
            start
        };
        let layout = network.layout();
        let input_offset = allocate(network.inputs() + 1);
        let mut layers = Layer::for_network(network, input_offset, &mut allocate);
        let target_offset = allocate(network.outputs() + usize::from(has_sample_weights));
        Layer::assign_delta_offsets(&mut layers, allocate);
        // Use an odd number of cache lines: rows that are a power of two apart would share a few sets of the cache.
        let stride = ((end / CACHE_LINE_FLOATS) | 1) * CACHE_LINE_FLOATS;

        let rows_per_thread = batch_size.div_ceil(threads);
        let block_rows = (BLOCK_FLOATS / stride).max(CACHE_LINE_FLOATS);
        let small_config = SmallNetworkConfig { loss, is_multi_label, rows: rows_per_thread, has_sample_weights };
        let small_network = SmallNetwork::new(network, &small_config);
        let sums_per_thread = small_network.is_some()
            || (!network.has_per_neuron_parameters()
                && layout.len <= MAX_THREAD_SUM_PARAMETERS
                && rows_per_thread >= 2 * block_rows);
        let mut ranges = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let rows = layer.layout.inputs + 1;
            let rows_per_range = if sums_per_thread { rows } else { rows.div_ceil(threads) };
            for first in (0..rows).step_by(rows_per_range) {
                let rows = first..rows.min(first + rows_per_range);
                ranges.push(ParameterRange { layer: index, rows, offset: layer.layout.weight_offset(first, 0) });
            }
        }
        if small_network.is_some() {
            // A small network sums the gradients of all layers itself, so one range covers all parameters.
            ranges.truncate(1);
        }
        Self {
            arch: Arch::new(),
            loss,
            is_multi_label,
            optimizer,
            is_plain_rule: optimizer.is_plain_rule(),
            ranges,
            layers,
            inputs: network.inputs(),
            outputs: network.outputs(),
            target_offset,
            has_sample_weights,
            stride,
            block_rows: if sums_per_thread { block_rows } else { rows_per_thread },
            threads,
            sums_per_thread,
            small_network,
            penalty_mask: penalty_mask(&layout, &optimizer),
        }
    }

    /// Returns the number of floats that one thread needs for `rows` rows.
    pub(crate) fn scratch_len(&self, rows: usize) -> usize {
        let rows = if self.sums_per_thread { self.block_rows } else { rows };
        self.small_network.as_ref().map_or(rows * self.stride, SmallNetwork::scratch_len)
    }

    /// Allocates the scratch memory of all threads for a batch.
    pub(crate) fn allocate_scratch(&self, batch_size: usize) -> Vec<f32> {
        match &self.small_network {
            Some(small) => vec![0.0; self.threads * small.scratch_len()],
            None => self.blank_rows(if self.sums_per_thread { self.threads * self.block_rows } else { batch_size }),
        }
    }

    /// Creates the results of all threads, with `gradient_len` sums of gradients per thread.
    pub(crate) fn thread_results(&self, gradient_len: usize) -> Vec<ThreadResult> {
        let (mut vector_gradient_len, mut statistics_len) = (0, 0);
        for layer in &self.layers {
            vector_gradient_len += layer.per_neuron_len();
            statistics_len += layer.statistics_len();
        }
        let result = ThreadResult {
            gradients: vec![0.0; gradient_len],
            vector_gradients: vec![0.0; vector_gradient_len],
            inverse_stds: vec![0.0; statistics_len / 2],
            ..ThreadResult::default()
        };
        vec![result; self.threads]
    }

    /// Creates rows that are 0 except for the constants 1 after the inputs of each layer.
    pub(crate) fn blank_rows(&self, rows: usize) -> Vec<f32> {
        let mut blank = vec![0.0; rows * self.stride];
        for row in blank.chunks_exact_mut(self.stride) {
            for layer in &self.layers {
                row[layer.input_offset + layer.layout.inputs] = 1.0;
            }
        }
        blank
    }

    /// Returns whether a layer has trained parameters other than weights and biases.
    pub(crate) fn has_per_neuron_parameters(&self) -> bool {
        self.layers.iter().any(|layer| layer.has_per_neuron_parameters)
    }

    /// Returns whether an update needs the full gradients.
    pub(crate) fn needs_full_gradients(&self) -> bool {
        self.optimizer.needs_full_gradients() || self.has_per_neuron_parameters()
    }

    /// Returns whether the optimizer keeps an EMA of the parameters.
    pub(crate) const fn has_ema(&self) -> bool {
        self.optimizer.ema_decay.is_some()
    }

    /// Returns the ranges of the EMA among `len` parameters; empty without an EMA.
    pub(crate) fn ema_ranges(&self, len: usize) -> Vec<StateRange> {
        // The EMA is the last state vector.
        if self.has_ema() { self.state_ranges(self.state_per_parameter() - 1, len) } else { Vec::new() }
    }

    /// Returns the ranges of one state vector among `len` parameters. All state vectors of a parameter range are
    /// adjacent.
    pub(crate) fn state_ranges(&self, state_vector: usize, len: usize) -> Vec<StateRange> {
        let ends = self.ranges[1..].iter().map(|range| range.offset).chain([len]);
        let ranges = self.ranges.iter().zip(ends).map(|(range, end)| {
            let range_len = end - range.offset;
            let start = self.state_per_parameter() * range.offset + state_vector * range_len;
            StateRange { parameters: range.offset..end, state: start..start + range_len }
        });
        ranges.collect()
    }

    /// Returns the number of state vectors.
    pub(crate) fn state_per_parameter(&self) -> usize {
        self.optimizer.state_per_parameter()
    }
}
