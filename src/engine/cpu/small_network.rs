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
            layer::{Fill, Lane, Layer},
        },
        step::Step,
    },
    nn::{layout::Place, loss::Loss, network::Network},
    util::math::Fma,
};

/// Up to so many weights and biases a network is small (measured on a Zen 5): up to a quarter of that, this takes a
/// third to a half of the time that [`crate::engine::cpu::batch`] takes.
const MOST_PARAMETERS: usize = 3000;

/// With few rows most lanes are empty: then a network has to be so small for each of them (measured as well).
const PARAMETERS_A_ROW: usize = 200;

/// Floats of the rows that are taken through the network at once, so that they stay in a core's L1 cache.
const BLOCK: usize = 8 * 1024;

/// The lanes of the longest vector registers.
const LANES: usize = 16;

/// A small network, and where everything about a group of rows lies.
pub(crate) struct Small {
    pub(crate) arch: Arch,
    pub(crate) loss: Loss,
    /// Whether each output is a label.
    pub(crate) labels: bool,
    pub(crate) layers: Vec<Layer>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) expected: usize,
    /// Whether rows have weights, in the register behind the expected outputs.
    pub(crate) weighted: bool,
    /// Registers of a group of rows.
    pub(crate) columns: usize,
    /// Rows that are taken through the network at once: whole groups, whatever the lanes of the CPU.
    pub(crate) block: usize,
}

impl Small {
    /// How the rows of a network lie, if it is small.
    pub(crate) fn new(network: &Network, (loss, labels): (Loss, bool), batch: usize, weighted: bool) -> Option<Self> {
        if network.has_vectors()
            || network.parameter_count() > MOST_PARAMETERS.min(PARAMETERS_A_ROW.saturating_mul(batch))
        {
            return None;
        }
        let mut end = 0;
        let mut take = |width: usize| {
            end += width;
            end - width
        };
        let from = take(network.inputs() + 1);
        let expected = take(network.outputs() + usize::from(weighted));
        let mut layers = Layer::all(network, from, &mut take);
        Layer::place_deltas(&mut layers, take);
        let block = (BLOCK / end).clamp(1, batch).next_multiple_of(LANES);
        let (inputs, outputs) = (network.inputs(), network.outputs());
        Some(Self { arch: arch(batch), loss, labels, layers, inputs, outputs, expected, weighted, columns: end, block })
    }

    /// Floats that one thread needs for its rows: a block of them, and a row by itself.
    pub(crate) const fn space(&self) -> usize {
        self.block * self.columns + self.inputs + 3 * self.outputs + 2
    }

    /// What one thread does with its rows: everything but the update.
    pub(crate) fn rows(
        &self,
        parameters: &[f32],
        step: &Step,
        fill: &Fill<'_>,
        rows: Range<usize>,
        space: &mut [f32],
        lane: &mut Lane,
    ) {
        self.arch.dispatch(Work { small: self, parameters, step, fill, rows, space, lane });
    }
}

/// The instructions for batches of so many rows. Where half of AVX-512's lanes are enough, AVX2 is faster by a tenth
/// (measured on a Zen 5): there are fewer lanes to sum up.
fn arch(rows: usize) -> Arch {
    #[cfg(target_arch = "x86_64")]
    if let (..=8, Some(avx2)) = (rows, pulp::x86::V3::try_new()) {
        return Arch::V3(avx2);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = rows;
    Arch::new()
}

/// The arguments of [`Small::rows`], to dispatch.
struct Work<'a> {
    small: &'a Small,
    parameters: &'a [f32],
    step: &'a Step,
    fill: &'a Fill<'a>,
    rows: Range<usize>,
    space: &'a mut [f32],
    lane: &'a mut Lane,
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { small, parameters, step, fill, rows, space, lane } = self;
        (lane.loss, lane.right) = (0.0, 0.0);
        let (block, brought) = space.split_at_mut(small.block * small.columns);
        let group = S::F32_LANES * small.columns;
        for first in rows.clone().step_by(small.block) {
            let count = small.block.min(rows.end - first);
            let block = &mut block[..count.div_ceil(S::F32_LANES) * group];
            for (i, registers) in block.chunks_exact_mut(group).enumerate() {
                let done = i * S::F32_LANES;
                let rows = first + done..first + count.min(done + S::F32_LANES);
                let used = rows.len();
                small.bring::<S>(fill, rows, brought, registers);
                small.forward(simd, parameters, registers, (step, first + done));
                let before = (lane.loss, lane.right);
                small.judge::<S>(step, used, registers, brought, lane);
                if small.weighted {
                    let (loss, right) = small.weigh(S::F32_LANES, used, registers, brought);
                    (lane.loss, lane.right) = (before.0 + loss, before.1 + right);
                }
                small.backward(simd, parameters, registers);
            }
            small.gradients(simd, block, &mut lane.sums, first == rows.start);
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

impl Small {
    /// Puts rows into the lanes of the registers.
    #[inline(always)]
    fn bring<S: Simd>(&self, fill: &Fill<'_>, rows: Range<usize>, brought: &mut [f32], registers: &mut [f32]) {
        let width = self.inputs + 1 + self.outputs;
        // The weight stands behind the rest, and is left there if rows have none.
        let (row, kept) = (&mut brought[..=width], width + usize::from(self.weighted));
        row[self.inputs] = 1.0;
        for (lane, number) in rows.enumerate() {
            let (inputs, expected) = row.split_at_mut(self.inputs);
            row[width] = fill(number, inputs, &mut expected[1..=self.outputs]);
            for (register, value) in registers.chunks_exact_mut(S::F32_LANES).zip(&row[..kept]) {
                register[lane] = *value;
            }
        }
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32], (step, row): (&Step, usize)) {
        for layer in &self.layers {
            let (x, rest) = S::as_mut_simd_f32s(registers).0.split_at_mut(layer.to);
            let (x, a) = (&x[layer.from..][..=layer.place.inputs], &mut rest[..=layer.place.outputs]);
            let weights = &parameters[layer.place.offset..];
            let (stride, outputs) = (layer.place.stride, layer.place.outputs);
            in_eights!(outputs, |j| sums::<S; N>(simd, x, &weights[j..], [stride, 1], &mut a[j..]));
            a[outputs] = simd.splat_f32s(1.0);
            let (a, len) = (layer.to * S::F32_LANES, outputs * S::F32_LANES);
            let fma = Fma::of::<S>();
            let Some(slope) = layer.slope else {
                elementwise::activate(fma, layer.activation, &mut registers[a..][..len]);
                continue;
            };
            let (values, slopes) = registers.split_at_mut(slope * S::F32_LANES);
            let (values, slopes) = (&mut values[a..][..len], &mut slopes[..len]);
            layer.keep_slopes(fma, values, slopes);
            elementwise::activate(fma, layer.activation, values);
            let of = |at| (at / S::F32_LANES, step.first + (row + at % S::F32_LANES) as u32, step.key);
            layer.drop_out(values, slopes, of);
        }
    }

    /// The loss, the right answers and the output layer's delta, of the rows in the first `used` lanes. The lanes beyond
    /// get a delta of 0, so that they add nothing to a gradient.
    #[inline(always)]
    fn judge<S: Simd>(&self, step: &Step, used: usize, registers: &mut [f32], brought: &mut [f32], lane: &mut Lane) {
        let Some(layer) = self.layers.last() else { return };
        let (lanes, len) = (S::F32_LANES, self.outputs * S::F32_LANES);
        let (values, delta) = registers.split_at_mut(layer.delta * lanes);
        let (y, t) = (&values[layer.to * lanes..][..len], &values[self.expected * lanes..][..len]);
        let delta = &mut delta[..len];
        let (fma, members) = (Fma::of::<S>(), (self.loss, layer.activation));
        let right = crate::metrics::row_metrics::right_of_columns(
            (self.loss, self.labels),
            self.outputs,
            y.chunks_exact(lanes),
            t.chunks_exact(lanes),
        );
        lane.right += f64::from(right.iter().take(used).sum::<u32>());
        if self.loss.looks_at_the_row() {
            delta.fill(0.0);
            let (row_y, rest) = brought.split_at_mut(self.outputs);
            let (row_t, rest) = rest.split_at_mut(self.outputs);
            let row_delta = &mut rest[..self.outputs];
            for row in 0..used {
                let columns = y[row..].iter().step_by(lanes).zip(t[row..].iter().step_by(lanes));
                row_y.iter_mut().zip(&mut *row_t).zip(columns).for_each(|((y, t), from)| (*y, *t) = (*from.0, *from.1));
                lane.loss += crate::metrics::row_metrics::loss_of_row(self.loss, row_y, row_t);
                elementwise::output_delta(fma, members, step.scale, (row_y, row_t, &[]), row_delta);
                delta[row..].iter_mut().step_by(lanes).zip(&*row_delta).for_each(|(to, from)| *to = *from);
            }
        } else {
            let kept = layer.columns(values, layer.slope, lanes);
            let columns = y.chunks_exact(lanes).zip(t.chunks_exact(lanes));
            for (j, (delta, (y, t))) in delta.chunks_exact_mut(lanes).zip(columns).enumerate() {
                let kept = if kept.is_empty() { kept } else { &kept[j * lanes..][..lanes] };
                // What is said of one row of outputs holds for one output of some rows.
                lane.loss += crate::metrics::row_metrics::loss_of_row(self.loss, &y[..used], &t[..used]);
                elementwise::output_delta(fma, members, step.scale, (y, t, kept), delta);
                delta.iter_mut().enumerate().for_each(|(i, d)| *d = if i < used { *d } else { 0.0 });
            }
        }
    }

    /// Multiplies the output layer's delta by the weights of the rows, and gives the weighted loss of those in the first
    /// `used` lanes and the sum of the weights of those that are right. Alone, so that rows without weights do not feel it.
    fn weigh(&self, lanes: usize, used: usize, registers: &mut [f32], brought: &mut [f32]) -> (f64, f64) {
        let Some(layer) = self.layers.last() else { return (0.0, 0.0) };
        let len = self.outputs * lanes;
        let (values, delta) = registers.split_at_mut(layer.delta * lanes);
        let (y, t) = (&values[layer.to * lanes..][..len], &values[self.expected * lanes..][..len]);
        let weights = &values[(self.expected + self.outputs) * lanes..][..lanes];
        for delta in delta[..len].chunks_exact_mut(lanes) {
            delta.iter_mut().zip(weights).for_each(|(d, weight)| *d *= weight);
        }
        let (row_y, rest) = brought.split_at_mut(self.outputs);
        let row_t = &mut rest[..self.outputs];
        let of_row = |(row, weight): (usize, &f32)| {
            let columns = y[row..].iter().step_by(lanes).zip(t[row..].iter().step_by(lanes));
            row_y.iter_mut().zip(&mut *row_t).zip(columns).for_each(|((y, t), from)| (*y, *t) = (*from.0, *from.1));
            let (weight, is_right) =
                (f64::from(*weight), crate::metrics::row_metrics::is_right(self.loss, self.labels, row_y, row_t));
            (
                weight * crate::metrics::row_metrics::loss_of_row(self.loss, row_y, row_t),
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
            let (width, stride) = (layer.place.outputs, next.place.stride);
            let (before, after) = S::as_mut_simd_f32s(registers).0.split_at_mut(next.delta);
            let (delta, after) = (&mut before[layer.delta..][..width], &after[..next.place.outputs]);
            let weights = &parameters[next.place.offset..];
            in_eights!(width, |i| sums::<S; N>(simd, after, &weights[i * stride..], [1, stride], &mut delta[i..]));
            let (values, delta) = registers.split_at_mut(layer.delta * S::F32_LANES);
            let len = width * S::F32_LANES;
            let kept = layer.columns(values, layer.slope, S::F32_LANES);
            layer.times_slope(&values[layer.to * S::F32_LANES..][..len], kept, &mut delta[..len]);
        }
    }

    #[inline(always)]
    fn gradients<S: Simd>(&self, simd: S, block: &[f32], into: &mut [f32], is_first: bool) {
        let (block, columns) = (S::as_simd_f32s(block).0, self.columns);
        for layer in &self.layers {
            let Place { inputs, outputs, stride, offset, .. } = layer.place;
            let delta = &block[layer.delta..];
            for i in 0..=inputs {
                let (x, into) = (&block[layer.from + i..], &mut into[offset + i * stride..][..outputs]);
                in_eights!(outputs, |j| products::<S; N>(simd, columns, x, &delta[j..], &mut into[j..], is_first));
            }
        }
    }
}

/// Of `N` neurons the sums, over all of `x`, of a register times a weight. The weights of a sum and those of different
/// sums lie so far apart as `strides` says.
#[inline(always)]
fn sums<S: Simd, const N: usize>(simd: S, x: &[S::f32s], weights: &[f32], strides: [usize; 2], into: &mut [S::f32s]) {
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
fn products<S: Simd, const N: usize>(
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
