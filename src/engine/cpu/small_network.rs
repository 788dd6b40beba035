//! The forward and backward pass of one thread for a small network, with one row per SIMD lane.
//!
//! A group of rows, as many as a vector register has lanes, uses one register per value of a row:
//!
//! ```text
//! inputs 1 | targets | (sample weight) | outputs of the first layer 1 | ... | outputs of the last layer 1 |
//! derivatives | delta of the first layer | ... | delta of the last layer
//! ```
//!
//! A sum over the inputs of a neuron then consists of a few products of a register and a weight. It needs no packing
//! and no function call, and a narrow layer leaves no lane empty. [`crate::engine::cpu::batch`] stores the same values
//! as the columns of a matrix instead. For larger networks, the speed of matrix multiplication outweighs the cost of
//! its call.

mod evaluate;

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::{
    engine::{
        cpu::{
            elementwise,
            layer::{DropoutIndex, Layer, RowReader, ThreadResult, ThreadRows, WeightStrides},
        },
        step::Step,
    },
    nn::{layout::LayerLayout, loss::Loss, network::Network},
    util::math::Fma,
};

/// The maximum number of weights and biases of a small network (measured on a Zen 5). With a quarter of this number,
/// this module takes a third to a half of the time of [`crate::engine::cpu::batch`].
const MAX_PARAMETERS: usize = 3000;

/// The maximum number of weights and biases per row of the batch, because a batch of few rows leaves most lanes empty
/// (measured on a Zen 5).
const MAX_PARAMETERS_PER_ROW: usize = 200;

/// The number of floats in a block of rows that passes through all layers at once, so that it fits into the L1 cache.
const BLOCK_FLOATS: usize = 8 * 1024;

/// The number of lanes of the longest vector registers (AVX-512).
const LANES: usize = 16;

/// The settings of a training run that determine a [`SmallNetwork`].
pub(crate) struct SmallNetworkConfig {
    pub(crate) loss: Loss,
    /// Whether the targets are multi-label: each output is a separate label.
    pub(crate) is_multi_label: bool,
    /// The maximum number of rows that one thread processes per step.
    pub(crate) rows: usize,
    pub(crate) has_sample_weights: bool,
}

/// A small network, with the registers of a group of rows.
pub(crate) struct SmallNetwork {
    pub(crate) arch: Arch,
    pub(crate) loss: Loss,
    /// Whether the targets are multi-label.
    pub(crate) is_multi_label: bool,
    pub(crate) layers: Vec<Layer>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// The first register of the targets.
    pub(crate) target_offset: usize,
    /// Whether the rows have sample weights. They are in the register after the targets.
    pub(crate) has_sample_weights: bool,
    pub(crate) registers_per_group: usize,
    /// The number of rows that pass through all layers at once: a multiple of the lanes of every CPU.
    pub(crate) block_rows: usize,
}

impl SmallNetwork {
    /// Assigns registers to the values of a row. Returns `None` if the network is not small, or if it has normalization
    /// or PReLU.
    pub(crate) fn new(network: &Network, config: &SmallNetworkConfig) -> Option<Self> {
        let SmallNetworkConfig { loss, is_multi_label, rows, has_sample_weights } = *config;
        if network.has_per_neuron_parameters()
            || network.parameter_count() > MAX_PARAMETERS.min(MAX_PARAMETERS_PER_ROW.saturating_mul(rows))
        {
            return None;
        }
        let mut end = 0;
        let mut allocate = |width: usize| {
            end += width;
            end - width
        };
        let input_offset = allocate(network.inputs() + 1);
        let target_offset = allocate(network.outputs() + usize::from(has_sample_weights));
        let mut layers = Layer::for_network(network, input_offset, &mut allocate);
        Layer::assign_delta_offsets(&mut layers, allocate);
        Some(Self {
            arch: choose_arch(rows),
            loss,
            is_multi_label,
            layers,
            inputs: network.inputs(),
            outputs: network.outputs(),
            target_offset,
            has_sample_weights,
            registers_per_group: end,
            block_rows: (BLOCK_FLOATS / end).clamp(1, rows).next_multiple_of(LANES),
        })
    }

    /// Returns the number of floats that one thread needs: a block of rows, and a buffer for a single row.
    pub(crate) const fn scratch_len(&self) -> usize {
        self.block_rows * self.registers_per_group + self.inputs + 3 * self.outputs + 2
    }

    /// Runs a step of one thread on its rows, except the update.
    pub(crate) fn process_rows(
        &self,
        parameters: &[f32],
        rows: ThreadRows<'_>,
        scratch: &mut [f32],
        result: &mut ThreadResult,
    ) {
        let ThreadRows { step, read_row, rows } = rows;
        self.arch.dispatch(RowsTask { network: self, parameters, step, read_row, rows, scratch, result });
    }
}

/// Chooses the instruction set for a number of rows. For up to 8 rows, AVX2 takes 10% less time than AVX-512 (measured
/// on a Zen 5), because it has fewer lanes to sum.
fn choose_arch(rows: usize) -> Arch {
    #[cfg(target_arch = "x86_64")]
    if let (..=8, Some(avx2)) = (rows, pulp::x86::V3::try_new()) {
        return Arch::V3(avx2);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = rows;
    Arch::new()
}

/// The arguments of [`SmallNetwork::process_rows`], for `pulp::Arch::dispatch`.
struct RowsTask<'a> {
    network: &'a SmallNetwork,
    parameters: &'a [f32],
    step: &'a Step,
    read_row: &'a RowReader<'a>,
    rows: Range<usize>,
    scratch: &'a mut [f32],
    result: &'a mut ThreadResult,
}

impl WithSimd for RowsTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { network: small, parameters, step, read_row, rows, scratch, result } = self;
        (result.loss, result.correct) = (0.0, 0.0);
        let (block, row_buffer) = scratch.split_at_mut(small.block_rows * small.registers_per_group);
        let group_len = S::F32_LANES * small.registers_per_group;
        for first in rows.clone().step_by(small.block_rows) {
            let count = small.block_rows.min(rows.end - first);
            let block = &mut block[..count.div_ceil(S::F32_LANES) * group_len];
            for (i, registers) in block.chunks_exact_mut(group_len).enumerate() {
                let done = i * S::F32_LANES;
                let rows = first + done..first + count.min(done + S::F32_LANES);
                let used = rows.len();
                small.load_rows::<S>(read_row, rows, row_buffer, registers);
                small.forward(simd, parameters, registers, step, first + done);
                let (loss_before, correct_before) = (result.loss, result.correct);
                small.evaluate_rows::<S>(step, used, registers, row_buffer, result);
                if small.has_sample_weights {
                    let weighted = small.apply_sample_weights(S::F32_LANES, used, registers, row_buffer);
                    (result.loss, result.correct) = (loss_before + weighted.loss, correct_before + weighted.correct);
                }
                small.backward(simd, parameters, registers);
            }
            small.gradients(simd, block, &mut result.gradients, first == rows.start);
        }
    }
}

/// Calls a function with a constant number `N` of columns until all `columns` are processed: first 8 at a time, then
/// the rest. Eight independent sums hide the latency of the instructions.
macro_rules! in_eights {
    ($columns:expr, |$column:ident| $function:ident::<$($generic:ty),*; N>($($argument:expr),*)) => {
        let mut $column = 0;
        while $column < $columns {
            $column += match $columns - $column {
                1 => { $function::<$($generic,)* 1>($($argument),*); 1 }
                2 => { $function::<$($generic,)* 2>($($argument),*); 2 }
                3 => { $function::<$($generic,)* 3>($($argument),*); 3 }
                4..=7 => { $function::<$($generic,)* 4>($($argument),*); 4 }
                _ => { $function::<$($generic,)* 8>($($argument),*); 8 }
            };
        }
    };
}

impl SmallNetwork {
    /// Reads rows, and writes each to one lane of the registers.
    #[inline(always)]
    fn load_rows<S: Simd>(
        &self,
        read_row: &RowReader<'_>,
        rows: Range<usize>,
        row_buffer: &mut [f32],
        registers: &mut [f32],
    ) {
        let width = self.inputs + 1 + self.outputs;
        // The sample weight is the last value. Without sample weights it is not copied.
        let (row, copied) = (&mut row_buffer[..=width], width + usize::from(self.has_sample_weights));
        row[self.inputs] = 1.0;
        for (lane, index) in rows.enumerate() {
            let (inputs, targets) = row.split_at_mut(self.inputs);
            row[width] = read_row(index, inputs, &mut targets[1..=self.outputs]);
            for (register, value) in registers.chunks_exact_mut(S::F32_LANES).zip(&row[..copied]) {
                register[lane] = *value;
            }
        }
    }

    /// Computes the outputs of all layers, and the derivatives that do not follow from them. `first_row` is the index
    /// of the first row in the batch.
    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32], step: &Step, first_row: usize) {
        for layer in &self.layers {
            let (x, rest) = S::as_mut_simd_f32s(registers).0.split_at_mut(layer.output_offset);
            let (x, a) = (&x[layer.input_offset..][..=layer.layout.inputs], &mut rest[..=layer.layout.outputs]);
            let weights = &parameters[layer.layout.offset..];
            let (strides, outputs) = (WeightStrides { term: layer.layout.stride, sum: 1 }, layer.layout.outputs);
            in_eights!(outputs, |j| weighted_sums::<S; N>(simd, x, &weights[j..], strides, &mut a[j..]));
            a[outputs] = simd.splat_f32s(1.0);
            let (a, len) = (layer.output_offset * S::F32_LANES, outputs * S::F32_LANES);
            let fma = Fma::detect::<S>();
            let Some(derivative_offset) = layer.derivative_offset else {
                elementwise::activate(fma, layer.activation, &mut registers[a..][..len]);
                continue;
            };
            let (values, derivatives) = registers.split_at_mut(derivative_offset * S::F32_LANES);
            let (values, derivatives) = (&mut values[a..][..len], &mut derivatives[..len]);
            layer.store_derivatives(fma, values, derivatives);
            elementwise::activate(fma, layer.activation, values);
            let dropout_index = |i: usize| DropoutIndex {
                neuron: i / S::F32_LANES,
                position: step.first_position + (first_row + i % S::F32_LANES) as u32,
                key: step.shuffle_key,
            };
            layer.apply_dropout(values, derivatives, dropout_index);
        }
    }

    /// Computes the deltas of all layers but the last, from the last layer to the first.
    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        for pair in self.layers.windows(2).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let (outputs, stride) = (layer.layout.outputs, next.layout.stride);
            let strides = WeightStrides { term: 1, sum: stride };
            let (before, after) = S::as_mut_simd_f32s(registers).0.split_at_mut(next.delta_offset);
            let (delta, after) = (&mut before[layer.delta_offset..][..outputs], &after[..next.layout.outputs]);
            let weights = &parameters[next.layout.offset..];
            in_eights!(outputs, |i| weighted_sums::<S; N>(simd, after, &weights[i * stride..], strides, &mut delta[i..]));
            let (values, delta) = registers.split_at_mut(layer.delta_offset * S::F32_LANES);
            let len = outputs * S::F32_LANES;
            let derivatives = layer.columns(values, layer.derivative_offset, S::F32_LANES);
            let a = &values[layer.output_offset * S::F32_LANES..][..len];
            layer.multiply_by_derivative(a, derivatives, &mut delta[..len]);
        }
    }

    /// Adds the gradients of a block of rows to `into`. The first block overwrites `into`.
    #[inline(always)]
    fn gradients<S: Simd>(&self, simd: S, block: &[f32], into: &mut [f32], is_first: bool) {
        let (block, columns) = (S::as_simd_f32s(block).0, self.registers_per_group);
        for layer in &self.layers {
            let LayerLayout { inputs, outputs, stride, offset, .. } = layer.layout;
            let delta = &block[layer.delta_offset..];
            for i in 0..=inputs {
                let (x, into) = (&block[layer.input_offset + i..], &mut into[offset + i * stride..][..outputs]);
                in_eights!(outputs, |j| gradient_sums::<S; N>(simd, columns, x, &delta[j..], &mut into[j..], is_first));
            }
        }
    }
}

/// Computes `N` sums of products: each sum multiplies every register of `x` by a weight.
#[inline(always)]
fn weighted_sums<S: Simd, const N: usize>(
    simd: S,
    x: &[S::f32s],
    weights: &[f32],
    strides: WeightStrides,
    into: &mut [S::f32s],
) {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (i, x) in x.iter().enumerate() {
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = simd.mul_add_e_f32s(*x, simd.splat_f32s(weights[i * strides.term + n * strides.sum]), *sum);
        }
    }
    into[..N].copy_from_slice(&sums);
}

/// Computes the gradients of `N` weights: the sums over all rows of `x` times a delta. Groups of rows are `columns`
/// registers apart.
#[inline(always)]
fn gradient_sums<S: Simd, const N: usize>(
    simd: S,
    columns: usize,
    x: &[S::f32s],
    delta: &[S::f32s],
    into: &mut [f32],
    is_first: bool,
) {
    let mut sums = [simd.splat_f32s(0.0); N];
    let mut register = 0;
    while register < x.len() {
        for (sum, delta) in sums.iter_mut().zip(&delta[register..][..N]) {
            *sum = simd.mul_add_e_f32s(x[register], *delta, *sum);
        }
        register += columns;
    }
    // The compiler would not inline the closure of a `map` into vector code.
    let mut reduced = [0.0; N];
    for (reduced, sum) in reduced.iter_mut().zip(sums) {
        *reduced = simd.reduce_sum_f32s(sum);
    }
    for (into, sum) in into[..N].iter_mut().zip(reduced) {
        *into = if is_first { sum } else { *into + sum };
    }
}
