//! The steps of a group, in vector code.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::{
    data::noise,
    engine::cpu::{
        elementwise,
        group::{GroupConfig, LANES, LaneGroup, sampling::StepSpan},
        layer::Layer,
    },
    nn::layout::LayerLayout,
    util::math::Fma,
};

/// The arguments of some steps, to dispatch.
pub(crate) struct StepsTask<'a> {
    pub(crate) config: &'a GroupConfig,
    pub(crate) group: &'a mut LaneGroup,
    pub(crate) steps: Range<u64>,
}

/// What the batch of a step brought.
struct LaneMetrics {
    losses: [f64; LANES],
    correct: [f64; LANES],
}

impl WithSimd for StepsTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { config: kind, group, steps } = self;
        group.sampled.sample(kind, &group.members, steps);
        group.step_metrics.clear();
        let mut at = 0;
        for number in 0..group.sampled.steps.len() {
            let span = group.sampled.steps[number];
            let rows = &group.sampled.rows[at * S::F32_LANES..][..span.rows * S::F32_LANES];
            at += span.rows;
            let pass = StepPass { config: kind, span: &span, stride: span.rows * S::F32_LANES };
            let registers = &mut group.registers[..kind.small_network.registers_per_group * pass.stride];
            pass.load_rows(rows, registers);
            if kind.input_noise_std > 0.0 {
                pass.add_noise(S::F32_LANES, registers, &mut group.row_buffer[..kind.small_network.inputs]);
            }
            pass.forward(simd, &group.parameters, registers);
            let scale = kind.generator.loss_scale(span.rows);
            let outcome = pass.evaluate::<S>(scale, registers, &mut group.row_buffer);
            pass.backward(simd, &group.parameters, registers);
            pass.gradients(simd, registers, &mut group.gradient_sums);
            let mut told = [(0.0, 0.0); LANES];
            for (lane, told) in told.iter_mut().enumerate() {
                *told = ((outcome.losses[lane] * f64::from(scale)) as f32, outcome.correct[lane]);
            }
            group.step_metrics.push(told);
            group.update(kind, number as u64);
        }
        let taken = group.sampled.steps.len() as u64;
        group.members.iter_mut().for_each(|seat| seat.steps_since_reset += taken);
    }
}

/// A step on its way through the layers.
struct StepPass<'a> {
    config: &'a GroupConfig,
    span: &'a StepSpan,
    /// Floats from a column to the next.
    stride: usize,
}

/// Calls a function of constant numbers of columns and of rows until it has had all of them.
macro_rules! in_tiles {
    ($columns:expr, $rows:expr, |$column:ident, $row:ident| $function:ident::<S; N, M>($($argument:expr),*)) => {
        let mut $column = 0;
        while $column < $columns {
            let width = if $columns - $column > 1 { 2 } else { 1 };
            let mut $row = 0;
            while $row < $rows {
                $row += match (width, $rows - $row) {
                    (1, 1) => { $function::<S, 1, 1>($($argument),*); 1 }
                    (1, 2 | 3) => { $function::<S, 1, 2>($($argument),*); 2 }
                    (1, _) => { $function::<S, 1, 4>($($argument),*); 4 }
                    (_, 1) => { $function::<S, 2, 1>($($argument),*); 1 }
                    (_, 2 | 3) => { $function::<S, 2, 2>($($argument),*); 2 }
                    (_, _) => { $function::<S, 2, 4>($($argument),*); 4 }
                };
            }
            $column += width;
        }
    };
}

impl StepPass<'_> {
    /// Puts rows of the table into the first columns.
    #[inline(always)]
    fn load_rows(&self, rows: &[u32], registers: &mut [f32]) {
        let small = &self.config.small_network;
        let width = small.inputs + 1 + small.outputs + usize::from(small.has_sample_weights);
        for (column, registers) in registers.chunks_exact_mut(self.stride).take(width).enumerate() {
            if column == small.inputs {
                registers.fill(1.0);
                continue;
            }
            let table = &self.config.table[column..];
            for (to, row) in registers.iter_mut().zip(rows) {
                *to = table[*row as usize * width];
            }
        }
    }

    fn add_noise(&self, lanes: usize, registers: &mut [f32], row: &mut [f32]) {
        let [a, b] = &self.span.keys;
        for at in 0..self.stride {
            let (place, lane) = (self.span.first_position + at / lanes, at % lanes);
            let columns = || (at..).step_by(self.stride);
            row.iter_mut().zip(columns()).for_each(|(x, at)| *x = registers[at]);
            noise::add_noise(self.config.input_noise_std, [a[lane], b[lane]], place as u32, row);
            row.iter().zip(columns()).for_each(|(x, at)| registers[at] = *x);
        }
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        let (small, stride, rows) = (&self.config.small_network, self.stride, self.span.rows);
        let parameters = S::as_simd_f32s(parameters).0;
        for (layer, first) in small.layers.iter().zip(&self.config.layout.layer_offsets) {
            let LayerLayout { inputs, outputs, .. } = layer.layout;
            let (x, rest) = S::as_mut_simd_f32s(registers).0.split_at_mut(layer.output_offset * rows);
            let (x, a) = (&x[layer.input_offset * rows..][..(inputs + 1) * rows], &mut rest[..(outputs + 1) * rows]);
            let weights = &parameters[*first..][..(inputs + 1) * outputs];
            in_tiles!(outputs, rows, |j, r| weighted_sums::<S; N, M>(simd, [rows, r], x, &weights[j..], [outputs, 1], &mut a[j * rows..]));
            a[outputs * rows..].fill(simd.splat_f32s(1.0));
            let (a, len, fma) = (layer.output_offset * stride, outputs * stride, Fma::detect::<S>());
            let Some(slope) = layer.derivative_offset else {
                elementwise::activate(fma, layer.activation, &mut registers[a..][..len]);
                continue;
            };
            let (values, slopes) = registers.split_at_mut(slope * stride);
            let (values, slopes) = (&mut values[a..][..len], &mut slopes[..len]);
            layer.store_derivatives(fma, values, slopes);
            elementwise::activate(fma, layer.activation, values);
            layer.apply_dropout(values, slopes, |at| {
                let (row, lane) = (at % stride / S::F32_LANES, at % S::F32_LANES);
                let key = [self.span.keys[0][lane], self.span.keys[1][lane]];
                (at / stride, (self.span.first_position + row) as u32, key)
            });
        }
    }

    /// The losses, the right answers and the output layer's delta.
    #[inline(always)]
    fn evaluate<S: Simd>(&self, scale: f32, registers: &mut [f32], row: &mut [f32]) -> LaneMetrics {
        let mut outcome = LaneMetrics { losses: [0.0; LANES], correct: [0.0; LANES] };
        let (small, stride, lanes) = (&self.config.small_network, self.stride, S::F32_LANES);
        let Some(layer) = small.layers.last() else { return outcome };
        let (len, fma) = (small.outputs * stride, Fma::detect::<S>());
        let (values, delta) = registers.split_at_mut(layer.delta_offset * stride);
        let (y, t) = (&values[layer.output_offset * stride..][..len], &values[small.target_offset * stride..][..len]);
        let weights = &values[(small.target_offset + small.outputs) * stride..][..stride];
        let delta = &mut delta[..len];
        for row in (0..stride).step_by(lanes) {
            let right = crate::metrics::row_metrics::correct_by_column(
                (small.loss, small.is_multi_label),
                small.outputs,
                columns(y, row, stride, lanes),
                columns(t, row, stride, lanes),
            );
            for (lane, (sum, right)) in outcome.correct.iter_mut().zip(right).take(lanes).enumerate() {
                let weight = if small.has_sample_weights { f64::from(weights[row + lane]) } else { 1.0 };
                *sum += weight * f64::from(right);
            }
        }
        if small.loss.needs_full_row() {
            for row in (0..stride).step_by(lanes) {
                let (rows, delta) = ((&y[row..], &t[row..]), &mut delta[row..]);
                match lanes {
                    16 => elementwise::softmax_delta::<16>(fma, small.loss, scale, rows, delta, stride),
                    8 => elementwise::softmax_delta::<8>(fma, small.loss, scale, rows, delta, stride),
                    _ => elementwise::softmax_delta::<4>(fma, small.loss, scale, rows, delta, stride),
                }
            }
        } else {
            let kept = layer.columns(values, layer.derivative_offset, stride);
            elementwise::output_delta(fma, (small.loss, layer.activation), scale, (y, t, kept), delta);
        }
        if small.has_sample_weights {
            for delta in delta.chunks_exact_mut(stride) {
                for (d, weight) in delta.iter_mut().zip(weights) {
                    *d *= weight;
                }
            }
        }
        if small.has_sample_weights || small.loss.needs_full_row() {
            self.evaluate_rows(lanes, (y, t, weights), row, &mut outcome.losses);
            return outcome;
        }
        // A sum for each output and as many rows as one network alone has lanes for.
        for rows in (0..self.span.rows).step_by(self.config.single_member_lanes) {
            let rows = rows * lanes..(rows + self.config.single_member_lanes).min(self.span.rows) * lanes;
            for (y, t) in y.chunks_exact(stride).zip(t.chunks_exact(stride)) {
                let mut sums = [0.0; LANES];
                let both = y[rows.clone()].chunks_exact(lanes).zip(t[rows.clone()].chunks_exact(lanes));
                for (y, t) in both {
                    crate::metrics::row_metrics::add_losses(small.loss, y, t, &mut sums[..lanes]);
                }
                for (loss, sum) in outcome.losses.iter_mut().zip(sums) {
                    *loss += sum;
                }
            }
        }
        outcome
    }

    /// The losses of rows that have weights or are looked at whole.
    fn evaluate_rows(
        &self,
        lanes: usize,
        (y, t, weights): (&[f32], &[f32], &[f32]),
        row: &mut [f32],
        losses: &mut [f64; LANES],
    ) {
        let (small, stride) = (&self.config.small_network, self.stride);
        let (row_y, row_t) = row[..2 * small.outputs].split_at_mut(small.outputs);
        let mut of = |at: usize| {
            row_y.iter_mut().zip(y[at..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
            row_t.iter_mut().zip(t[at..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
            crate::metrics::row_metrics::row_loss(small.loss, row_y, row_t)
        };
        for (lane, loss) in losses.iter_mut().take(lanes).enumerate() {
            if !small.has_sample_weights {
                (lane..stride).step_by(lanes).for_each(|at| *loss += of(at));
                continue;
            }
            for first in (0..stride).step_by(self.config.single_member_lanes * lanes) {
                let rows = first + lane..stride.min(first + self.config.single_member_lanes * lanes);
                *loss += rows.step_by(lanes).map(|at| f64::from(weights[at]) * of(at)).sum::<f64>();
            }
        }
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        let (stride, rows) = (self.stride, self.span.rows);
        let parameters = S::as_simd_f32s(parameters).0;
        let firsts = self.config.layout.layer_offsets.iter().skip(1);
        for (pair, first) in self.config.small_network.layers.windows(2).zip(firsts).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let (width, outputs) = (layer.layout.outputs, next.layout.outputs);
            let (before, after) = S::as_mut_simd_f32s(registers).0.split_at_mut(next.delta_offset * rows);
            let (delta, after) = (&mut before[layer.delta_offset * rows..][..width * rows], &after[..outputs * rows]);
            let weights = &parameters[*first..][..width * outputs];
            in_tiles!(width, rows, |i, r| weighted_sums::<S; N, M>(simd, [rows, r], after, &weights[i * outputs..], [1, outputs], &mut delta[i * rows..]));
            let (values, delta) = registers.split_at_mut(layer.delta_offset * stride);
            let len = width * stride;
            let kept = layer.columns(values, layer.derivative_offset, stride);
            layer.multiply_by_derivative(&values[layer.output_offset * stride..][..len], kept, &mut delta[..len]);
        }
    }

    #[inline(always)]
    fn gradients<S: Simd>(&self, simd: S, registers: &[f32], into: &mut [f32]) {
        let (registers, into) = (S::as_simd_f32s(registers).0, S::as_mut_simd_f32s(into).0);
        // In the lanes of one network alone beyond its rows there would be nothing.
        let sums = self.config.single_member_lanes.min(self.span.rows.next_power_of_two());
        for (layer, first) in self.config.small_network.layers.iter().zip(&self.config.layout.layer_offsets) {
            let into = &mut into[*first..];
            match sums {
                1 => gradient_sums::<S, 1>(simd, layer, self.span.rows, registers, into),
                2 => gradient_sums::<S, 2>(simd, layer, self.span.rows, registers, into),
                4 => gradient_sums::<S, 4>(simd, layer, self.span.rows, registers, into),
                8 => gradient_sums::<S, 8>(simd, layer, self.span.rows, registers, into),
                _ => gradient_sums::<S, 16>(simd, layer, self.span.rows, registers, into),
            }
        }
    }
}

/// One row of each column.
#[inline(always)]
fn columns(values: &[f32], row: usize, stride: usize, lanes: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(stride).map(move |column| &column[row..row + lanes])
}

/// Of `N` neurons and `M` of the rows, from `row` on, the sums over all columns of `x` of a register times a weight. The
/// weights of a sum and those of different sums lie so far apart as `strides` says.
#[inline(always)]
fn weighted_sums<S: Simd, const N: usize, const M: usize>(
    simd: S,
    [rows, row]: [usize; 2],
    x: &[S::f32s],
    weights: &[S::f32s],
    strides: [usize; 2],
    into: &mut [S::f32s],
) {
    let mut sums = [[simd.splat_f32s(0.0); M]; N];
    for (i, x) in x.chunks_exact(rows).enumerate() {
        let x = &x[row..][..M];
        for (n, sums) in sums.iter_mut().enumerate() {
            let weight = weights[i * strides[0] + n * strides[1]];
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(*x, weight, *sum);
            }
        }
    }
    for (n, sums) in sums.iter().enumerate() {
        into[n * rows + row..][..M].copy_from_slice(sums);
    }
}

/// The gradients of a layer: of each weight the sum, over all rows, of `x` times a delta. `P` sums each take every
/// `P`th row, and are then added half to half: so one network alone sums up its lanes.
#[inline(always)]
fn gradient_sums<S: Simd, const P: usize>(
    simd: S,
    layer: &Layer,
    rows: usize,
    registers: &[S::f32s],
    into: &mut [S::f32s],
) {
    let LayerLayout { inputs, outputs, .. } = layer.layout;
    let all_x = registers[layer.input_offset * rows..].chunks_exact(rows).take(inputs + 1);
    for (x, into) in all_x.zip(into.chunks_exact_mut(outputs)) {
        for (delta, into) in registers[layer.delta_offset * rows..].chunks_exact(rows).zip(into) {
            let mut sums = [simd.splat_f32s(0.0); P];
            if let (true, Some(x), Some(delta)) = (rows == P, x.first_chunk::<P>(), delta.first_chunk::<P>()) {
                for i in 0..P {
                    sums[i] = simd.mul_add_e_f32s(x[i], delta[i], sums[i]);
                }
            } else {
                for (x, delta) in x.chunks(P).zip(delta.chunks(P)) {
                    for ((sum, x), delta) in sums.iter_mut().zip(x).zip(delta) {
                        *sum = simd.mul_add_e_f32s(*x, *delta, *sum);
                    }
                }
            }
            let mut half = P / 2;
            while half > 0 {
                for i in 0..half {
                    sums[i] = simd.add_f32s(sums[i], sums[i + half]);
                }
                half /= 2;
            }
            *into = sums[0];
        }
    }
}
