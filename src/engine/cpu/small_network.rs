//! The work of one thread on the rows of a batch, for a small network: the rows stand side by side in the lanes of the
//! vector registers, one register for each neuron. A sum over a layer's inputs is then a few products of a register and
//! a weight, which need neither packing nor a call, and no narrow layer leaves lanes empty.
//!
//! ```text
//! inputs 1 | expected | (weight) | outputs of the first layer 1 | ... | of the last 1 | slopes | delta of the first layer ... last
//! ```
//!
//! are the registers of one group of rows. [`crate::engine::cpu::batch`] has the same as the columns of a matrix, with a row of it
//! for each row of the batch: there, products of whole matrices are worth their call.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::{
    engine::{
        cpu::{
            elementwise,
            layer::{Layer, RowReader, ThreadResult},
        },
        step::Step,
    },
    nn::{layout::LayerLayout, loss::Loss, network::Network},
    util::math::Fma,
};

/// Up to so many weights and biases a network is small (measured on a Zen 5): up to a quarter of that, this takes a
/// third to a half of the time that [`crate::engine::cpu::batch`] takes.
const MAX_PARAMETERS: usize = 3000;

/// With few rows most lanes are empty: then a network has to be so small for each of them (measured as well).
const MAX_PARAMETERS_PER_ROW: usize = 200;

/// Floats of the rows that are taken through the network at once, so that they stay in a core's L1 cache.
const BLOCK_FLOATS: usize = 8 * 1024;

/// The lanes of the longest vector registers.
const LANES: usize = 16;

/// A small network, and where everything about a group of rows lies.
pub(crate) struct SmallNetwork {
    pub(crate) arch: Arch,
    pub(crate) loss: Loss,
    /// Whether each output is a label.
    pub(crate) is_multi_label: bool,
    pub(crate) layers: Vec<Layer>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) target_offset: usize,
    /// Whether rows have weights, in the register behind the expected outputs.
    pub(crate) has_sample_weights: bool,
    /// Registers of a group of rows.
    pub(crate) registers_per_group: usize,
    /// Rows that are taken through the network at once: whole groups, whatever the lanes of the CPU.
    pub(crate) block_rows: usize,
}

impl SmallNetwork {
    /// How the rows of a network lie, if it is small.
    pub(crate) fn new(
        network: &Network,
        (loss, labels): (Loss, bool),
        batch: usize,
        has_sample_weights: bool,
    ) -> Option<Self> {
        if network.has_per_neuron_parameters()
            || network.parameter_count() > MAX_PARAMETERS.min(MAX_PARAMETERS_PER_ROW.saturating_mul(batch))
        {
            return None;
        }
        let mut end = 0;
        let mut take = |width: usize| {
            end += width;
            end - width
        };
        let from = take(network.inputs() + 1);
        let expected = take(network.outputs() + usize::from(has_sample_weights));
        let mut layers = Layer::for_network(network, from, &mut take);
        Layer::assign_delta_offsets(&mut layers, take);
        let block = (BLOCK_FLOATS / end).clamp(1, batch).next_multiple_of(LANES);
        let (inputs, outputs) = (network.inputs(), network.outputs());
        Some(Self {
            arch: choose_arch(batch),
            loss,
            is_multi_label: labels,
            layers,
            inputs,
            outputs,
            target_offset: expected,
            has_sample_weights,
            registers_per_group: end,
            block_rows: block,
        })
    }

    /// Floats that one thread needs for its rows: a block of them, and a row by itself.
    pub(crate) const fn scratch_len(&self) -> usize {
        self.block_rows * self.registers_per_group + self.inputs + 3 * self.outputs + 2
    }

    /// What one thread does with its rows: everything but the update.
    pub(crate) fn process_rows(
        &self,
        parameters: &[f32],
        step: &Step,
        read_row: &RowReader<'_>,
        rows: Range<usize>,
        space: &mut [f32],
        result: &mut ThreadResult,
    ) {
        self.arch.dispatch(RowsTask { network: self, parameters, step, read_row, rows, scratch: space, result });
    }
}

/// The instructions for batches of so many rows. Where half of AVX-512's lanes are enough, AVX2 is faster by a tenth
/// (measured on a Zen 5): there are fewer lanes to sum up.
fn choose_arch(rows: usize) -> Arch {
    #[cfg(target_arch = "x86_64")]
    if let (..=8, Some(avx2)) = (rows, pulp::x86::V3::try_new()) {
        return Arch::V3(avx2);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = rows;
    Arch::new()
}

/// The arguments of [`SmallNetwork::process_rows`], to dispatch.
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
        let Self { network: small, parameters, step, read_row: fill, rows, scratch: space, result: lane } = self;
        (lane.loss, lane.correct) = (0.0, 0.0);
        let (block, brought) = space.split_at_mut(small.block_rows * small.registers_per_group);
        let group = S::F32_LANES * small.registers_per_group;
        for first in rows.clone().step_by(small.block_rows) {
            let count = small.block_rows.min(rows.end - first);
            let block = &mut block[..count.div_ceil(S::F32_LANES) * group];
            for (i, registers) in block.chunks_exact_mut(group).enumerate() {
                let done = i * S::F32_LANES;
                let rows = first + done..first + count.min(done + S::F32_LANES);
                let used = rows.len();
                small.load_rows::<S>(fill, rows, brought, registers);
                small.forward(simd, parameters, registers, (step, first + done));
                let before = (lane.loss, lane.correct);
                small.evaluate_rows::<S>(step, used, registers, brought, lane);
                if small.has_sample_weights {
                    let (loss, right) = small.apply_sample_weights(S::F32_LANES, used, registers, brought);
                    (lane.loss, lane.correct) = (before.0 + loss, before.1 + right);
                }
                small.backward(simd, parameters, registers);
            }
            small.gradients(simd, block, &mut lane.gradients, first == rows.start);
        }
    }
}

/// Calls a function of a constant number of columns until it has had all of `columns`: 8 at a time, so that sums that
/// wait for nothing but themselves fill the pipelines, then what is left.
macro_rules! in_eights {
    ($columns:expr, |$at:ident| $function:ident::<$($generic:ty),*; N>($($argument:expr),*)) => {
        let mut $at = 0;
        while $at < $columns {
            $at += match $columns - $at {
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
    /// Puts rows into the lanes of the registers.
    #[inline(always)]
    fn load_rows<S: Simd>(
        &self,
        read_row: &RowReader<'_>,
        rows: Range<usize>,
        brought: &mut [f32],
        registers: &mut [f32],
    ) {
        let width = self.inputs + 1 + self.outputs;
        // The weight stands behind the rest, and is left there if rows have none.
        let (row, kept) = (&mut brought[..=width], width + usize::from(self.has_sample_weights));
        row[self.inputs] = 1.0;
        for (lane, number) in rows.enumerate() {
            let (inputs, expected) = row.split_at_mut(self.inputs);
            row[width] = read_row(number, inputs, &mut expected[1..=self.outputs]);
            for (register, value) in registers.chunks_exact_mut(S::F32_LANES).zip(&row[..kept]) {
                register[lane] = *value;
            }
        }
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32], (step, row): (&Step, usize)) {
        for layer in &self.layers {
            let (x, rest) = S::as_mut_simd_f32s(registers).0.split_at_mut(layer.output_offset);
            let (x, a) = (&x[layer.input_offset..][..=layer.layout.inputs], &mut rest[..=layer.layout.outputs]);
            let weights = &parameters[layer.layout.offset..];
            let (stride, outputs) = (layer.layout.stride, layer.layout.outputs);
            in_eights!(outputs, |j| weighted_sums::<S; N>(simd, x, &weights[j..], [stride, 1], &mut a[j..]));
            a[outputs] = simd.splat_f32s(1.0);
            let (a, len) = (layer.output_offset * S::F32_LANES, outputs * S::F32_LANES);
            let fma = Fma::detect::<S>();
            let Some(slope) = layer.derivative_offset else {
                elementwise::activate(fma, layer.activation, &mut registers[a..][..len]);
                continue;
            };
            let (values, slopes) = registers.split_at_mut(slope * S::F32_LANES);
            let (values, slopes) = (&mut values[a..][..len], &mut slopes[..len]);
            layer.store_derivatives(fma, values, slopes);
            elementwise::activate(fma, layer.activation, values);
            let of = |at| (at / S::F32_LANES, step.first_position + (row + at % S::F32_LANES) as u32, step.shuffle_key);
            layer.apply_dropout(values, slopes, of);
        }
    }

    /// The loss, the right answers and the output layer's delta, of the rows in the first `used` lanes. The lanes beyond
    /// get a delta of 0, so that they add nothing to a gradient.
    #[inline(always)]
    fn evaluate_rows<S: Simd>(
        &self,
        step: &Step,
        used: usize,
        registers: &mut [f32],
        brought: &mut [f32],
        result: &mut ThreadResult,
    ) {
        let Some(layer) = self.layers.last() else { return };
        let (lanes, len) = (S::F32_LANES, self.outputs * S::F32_LANES);
        let (values, delta) = registers.split_at_mut(layer.delta_offset * lanes);
        let (y, t) = (&values[layer.output_offset * lanes..][..len], &values[self.target_offset * lanes..][..len]);
        let delta = &mut delta[..len];
        let (fma, members) = (Fma::detect::<S>(), (self.loss, layer.activation));
        let right = crate::metrics::row_metrics::correct_by_column(
            (self.loss, self.is_multi_label),
            self.outputs,
            y.chunks_exact(lanes),
            t.chunks_exact(lanes),
        );
        result.correct += f64::from(right.iter().take(used).sum::<u32>());
        if self.loss.needs_full_row() {
            delta.fill(0.0);
            let (row_y, rest) = brought.split_at_mut(self.outputs);
            let (row_t, rest) = rest.split_at_mut(self.outputs);
            let row_delta = &mut rest[..self.outputs];
            for row in 0..used {
                let columns = y[row..].iter().step_by(lanes).zip(t[row..].iter().step_by(lanes));
                row_y.iter_mut().zip(&mut *row_t).zip(columns).for_each(|((y, t), from)| (*y, *t) = (*from.0, *from.1));
                result.loss += crate::metrics::row_metrics::row_loss(self.loss, row_y, row_t);
                elementwise::output_delta(fma, members, step.loss_scale, (row_y, row_t, &[]), row_delta);
                delta[row..].iter_mut().step_by(lanes).zip(&*row_delta).for_each(|(to, from)| *to = *from);
            }
        } else {
            let kept = layer.columns(values, layer.derivative_offset, lanes);
            let columns = y.chunks_exact(lanes).zip(t.chunks_exact(lanes));
            for (j, (delta, (y, t))) in delta.chunks_exact_mut(lanes).zip(columns).enumerate() {
                let kept = if kept.is_empty() { kept } else { &kept[j * lanes..][..lanes] };
                // What is said of one row of outputs holds for one output of some rows.
                result.loss += crate::metrics::row_metrics::row_loss(self.loss, &y[..used], &t[..used]);
                elementwise::output_delta(fma, members, step.loss_scale, (y, t, kept), delta);
                delta.iter_mut().enumerate().for_each(|(i, d)| *d = if i < used { *d } else { 0.0 });
            }
        }
    }

    /// Multiplies the output layer's delta by the weights of the rows, and gives the weighted loss of those in the first
    /// `used` lanes and the sum of the weights of those that are right. Alone, so that rows without weights do not feel it.
    fn apply_sample_weights(
        &self,
        lanes: usize,
        used: usize,
        registers: &mut [f32],
        brought: &mut [f32],
    ) -> (f64, f64) {
        let Some(layer) = self.layers.last() else { return (0.0, 0.0) };
        let len = self.outputs * lanes;
        let (values, delta) = registers.split_at_mut(layer.delta_offset * lanes);
        let (y, t) = (&values[layer.output_offset * lanes..][..len], &values[self.target_offset * lanes..][..len]);
        let weights = &values[(self.target_offset + self.outputs) * lanes..][..lanes];
        for delta in delta[..len].chunks_exact_mut(lanes) {
            delta.iter_mut().zip(weights).for_each(|(d, weight)| *d *= weight);
        }
        let (row_y, rest) = brought.split_at_mut(self.outputs);
        let row_t = &mut rest[..self.outputs];
        let of_row = |(row, weight): (usize, &f32)| {
            let columns = y[row..].iter().step_by(lanes).zip(t[row..].iter().step_by(lanes));
            row_y.iter_mut().zip(&mut *row_t).zip(columns).for_each(|((y, t), from)| (*y, *t) = (*from.0, *from.1));
            let (weight, is_right) = (
                f64::from(*weight),
                crate::metrics::row_metrics::is_correct(self.loss, self.is_multi_label, row_y, row_t),
            );
            (
                weight * crate::metrics::row_metrics::row_loss(self.loss, row_y, row_t),
                if is_right { weight } else { 0.0 },
            )
        };
        let rows = weights[..used].iter().enumerate().map(of_row);
        rows.fold((0.0, 0.0), |sums, row| (sums.0 + row.0, sums.1 + row.1))
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        for pair in self.layers.windows(2).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let (width, stride) = (layer.layout.outputs, next.layout.stride);
            let (before, after) = S::as_mut_simd_f32s(registers).0.split_at_mut(next.delta_offset);
            let (delta, after) = (&mut before[layer.delta_offset..][..width], &after[..next.layout.outputs]);
            let weights = &parameters[next.layout.offset..];
            in_eights!(width, |i| weighted_sums::<S; N>(simd, after, &weights[i * stride..], [1, stride], &mut delta[i..]));
            let (values, delta) = registers.split_at_mut(layer.delta_offset * S::F32_LANES);
            let len = width * S::F32_LANES;
            let kept = layer.columns(values, layer.derivative_offset, S::F32_LANES);
            layer.multiply_by_derivative(&values[layer.output_offset * S::F32_LANES..][..len], kept, &mut delta[..len]);
        }
    }

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

/// Of `N` neurons the sums, over all of `x`, of a register times a weight. The weights of a sum and those of different
/// sums lie so far apart as `strides` says.
#[inline(always)]
fn weighted_sums<S: Simd, const N: usize>(
    simd: S,
    x: &[S::f32s],
    weights: &[f32],
    strides: [usize; 2],
    into: &mut [S::f32s],
) {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (i, x) in x.iter().enumerate() {
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = simd.mul_add_e_f32s(*x, simd.splat_f32s(weights[i * strides[0] + n * strides[1]]), *sum);
        }
    }
    into[..N].copy_from_slice(&sums);
}

/// The gradients of `N` weights: the sums, over all rows, of `x` times a delta. Groups of rows lie `columns` apart.
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
    let mut at = 0;
    while at < x.len() {
        for (sum, delta) in sums.iter_mut().zip(&delta[at..][..N]) {
            *sum = simd.mul_add_e_f32s(x[at], *delta, *sum);
        }
        at += columns;
    }
    // A closure, as `map` takes it, would not be inlined into vector code.
    let mut reduced = [0.0; N];
    for (reduced, sum) in reduced.iter_mut().zip(sums) {
        *reduced = simd.reduce_sum_f32s(sum);
    }
    for (into, sum) in into[..N].iter_mut().zip(reduced) {
        *into = if is_first { sum } else { *into + sum };
    }
}
