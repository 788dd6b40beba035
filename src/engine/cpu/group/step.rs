//! The forward and backward pass of a lane group, in vector code.

use pulp::Simd;

use crate::{
    data::noise,
    engine::cpu::{
        elementwise::{self, OutputValues},
        group::{
            config::{GroupConfig, LANES},
            sampling::StepSpan,
        },
        layer::{DropoutIndex, Layer, WeightStrides},
    },
    metrics::row_metrics::{add_losses, correct_by_column, row_loss},
    nn::layout::LayerLayout,
    util::math::Fma,
};

/// The sum of the losses and the number of correct rows of a batch, with one value per lane.
pub(crate) struct LaneMetrics {
    pub(crate) losses: [f64; LANES],
    pub(crate) correct: [f64; LANES],
}

/// The forward and backward pass of a step.
pub(crate) struct StepPass<'a> {
    pub(crate) config: &'a GroupConfig,
    pub(crate) span: &'a StepSpan,
    /// The number of floats in a column: one per row of the batch and lane.
    pub(crate) stride: usize,
}

/// Splits the columns and rows into tiles of `N` columns and `M` rows, both constants, and calls a function for each
/// tile.
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
    /// Copies rows of the table to the first columns.
    #[inline(always)]
    pub(crate) fn load_rows(&self, rows: &[u32], registers: &mut [f32]) {
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

    /// Adds noise to the features. `row_buffer` has the length of the features of one row.
    pub(crate) fn add_noise(&self, lanes: usize, registers: &mut [f32], row_buffer: &mut [f32]) {
        let [a, b] = &self.span.keys;
        for row in 0..self.stride {
            let (position, lane) = (self.span.first_position + row / lanes, row % lanes);
            let offsets = || (row..).step_by(self.stride);
            row_buffer.iter_mut().zip(offsets()).for_each(|(x, offset)| *x = registers[offset]);
            noise::add_noise(self.config.input_noise_std, [a[lane], b[lane]], position as u32, row_buffer);
            row_buffer.iter().zip(offsets()).for_each(|(x, offset)| registers[offset] = *x);
        }
    }

    /// Computes the outputs of all layers, and the derivatives that do not follow from them.
    #[inline(always)]
    pub(crate) fn forward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        let (small, stride, rows) = (&self.config.small_network, self.stride, self.span.rows);
        let parameters = S::as_simd_f32s(parameters).0;
        for (layer, first) in small.layers.iter().zip(&self.config.layout.layer_offsets) {
            let LayerLayout { inputs, outputs, .. } = layer.layout;
            let (x, rest) = S::as_mut_simd_f32s(registers).0.split_at_mut(layer.output_offset * rows);
            let (x, a) = (&x[layer.input_offset * rows..][..(inputs + 1) * rows], &mut rest[..(outputs + 1) * rows]);
            let weights = &parameters[*first..][..(inputs + 1) * outputs];
            let strides = WeightStrides { term: outputs, sum: 1 };
            in_tiles!(outputs, rows, |j, r| weighted_sums::<S; N, M>(simd, [rows, r], x, &weights[j..], strides, &mut a[j * rows..]));
            a[outputs * rows..].fill(simd.splat_f32s(1.0));
            let (a, len, fma) = (layer.output_offset * stride, outputs * stride, Fma::detect::<S>());
            let Some(derivative_offset) = layer.derivative_offset else {
                elementwise::activate(fma, layer.activation, &mut registers[a..][..len]);
                continue;
            };
            let (values, derivatives) = registers.split_at_mut(derivative_offset * stride);
            let (values, derivatives) = (&mut values[a..][..len], &mut derivatives[..len]);
            layer.store_derivatives(fma, values, derivatives);
            elementwise::activate(fma, layer.activation, values);
            layer.apply_dropout(values, derivatives, |i| {
                let (row, lane) = (i % stride / S::F32_LANES, i % S::F32_LANES);
                let key = [self.span.keys[0][lane], self.span.keys[1][lane]];
                DropoutIndex { neuron: i / stride, position: (self.span.first_position + row) as u32, key }
            });
        }
    }

    /// Computes the losses, the number of correct rows and the delta of the output layer. `scale` is the loss scale.
    #[inline(always)]
    pub(crate) fn evaluate<S: Simd>(&self, scale: f32, registers: &mut [f32], row_buffer: &mut [f32]) -> LaneMetrics {
        let mut metrics = LaneMetrics { losses: [0.0; LANES], correct: [0.0; LANES] };
        let (small, stride, lanes) = (&self.config.small_network, self.stride, S::F32_LANES);
        let Some(layer) = small.layers.last() else { return metrics };
        let (len, fma) = (small.outputs * stride, Fma::detect::<S>());
        let (values, delta) = registers.split_at_mut(layer.delta_offset * stride);
        let (y, t) = (&values[layer.output_offset * stride..][..len], &values[small.target_offset * stride..][..len]);
        let weights = &values[(small.target_offset + small.outputs) * stride..][..stride];
        let delta = &mut delta[..len];
        for row in (0..stride).step_by(lanes) {
            let correct = correct_by_column(
                (small.loss, small.is_multi_label),
                small.outputs,
                columns(y, row, stride, lanes),
                columns(t, row, stride, lanes),
            );
            for (lane, (sum, is_correct)) in metrics.correct.iter_mut().zip(correct).take(lanes).enumerate() {
                let weight = if small.has_sample_weights { f64::from(weights[row + lane]) } else { 1.0 };
                *sum += weight * f64::from(is_correct);
            }
        }
        if small.loss.needs_full_row() {
            for row in (0..stride).step_by(lanes) {
                let (y, t, delta) = (&y[row..], &t[row..], &mut delta[row..]);
                match lanes {
                    16 => elementwise::softmax_delta::<16>(fma, small.loss, scale, y, t, delta, stride),
                    8 => elementwise::softmax_delta::<8>(fma, small.loss, scale, y, t, delta, stride),
                    _ => elementwise::softmax_delta::<4>(fma, small.loss, scale, y, t, delta, stride),
                }
            }
        } else {
            let derivatives = layer.columns(values, layer.derivative_offset, stride);
            let values = OutputValues { outputs: y, targets: t, derivatives };
            elementwise::output_delta(fma, small.loss, layer.activation, scale, values, delta);
        }
        if small.has_sample_weights {
            for delta in delta.chunks_exact_mut(stride) {
                for (d, weight) in delta.iter_mut().zip(weights) {
                    *d *= weight;
                }
            }
        }
        if small.has_sample_weights || small.loss.needs_full_row() {
            self.evaluate_rows(lanes, y, t, weights, row_buffer, &mut metrics.losses);
            return metrics;
        }
        // A standalone member computes one sum per output and group of rows. The same sums give the same bits.
        for rows in (0..self.span.rows).step_by(self.config.standalone_lanes) {
            let rows = rows * lanes..(rows + self.config.standalone_lanes).min(self.span.rows) * lanes;
            for (y, t) in y.chunks_exact(stride).zip(t.chunks_exact(stride)) {
                let mut sums = [0.0; LANES];
                let columns = y[rows.clone()].chunks_exact(lanes).zip(t[rows.clone()].chunks_exact(lanes));
                for (y, t) in columns {
                    add_losses(small.loss, y, t, &mut sums[..lanes]);
                }
                for (loss, sum) in metrics.losses.iter_mut().zip(sums) {
                    *loss += sum;
                }
            }
        }
        metrics
    }

    /// Computes the losses row by row, for rows with sample weights and for losses that need the full row.
    fn evaluate_rows(
        &self,
        lanes: usize,
        y: &[f32],
        t: &[f32],
        sample_weights: &[f32],
        row_buffer: &mut [f32],
        losses: &mut [f64; LANES],
    ) {
        let (small, stride) = (&self.config.small_network, self.stride);
        let (row_y, row_t) = row_buffer[..2 * small.outputs].split_at_mut(small.outputs);
        let mut loss_at = |row: usize| {
            row_y.iter_mut().zip(y[row..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
            row_t.iter_mut().zip(t[row..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
            row_loss(small.loss, row_y, row_t)
        };
        for (lane, loss) in losses.iter_mut().take(lanes).enumerate() {
            if !small.has_sample_weights {
                (lane..stride).step_by(lanes).for_each(|row| *loss += loss_at(row));
                continue;
            }
            for first in (0..stride).step_by(self.config.standalone_lanes * lanes) {
                let rows = first + lane..stride.min(first + self.config.standalone_lanes * lanes);
                *loss += rows.step_by(lanes).map(|row| f64::from(sample_weights[row]) * loss_at(row)).sum::<f64>();
            }
        }
    }

    /// Computes the deltas of all layers but the last, from the last layer to the first.
    #[inline(always)]
    pub(crate) fn backward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        let (stride, rows) = (self.stride, self.span.rows);
        let parameters = S::as_simd_f32s(parameters).0;
        let firsts = self.config.layout.layer_offsets.iter().skip(1);
        for (pair, first) in self.config.small_network.layers.windows(2).zip(firsts).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let (outputs, next_outputs) = (layer.layout.outputs, next.layout.outputs);
            let (before, after) = S::as_mut_simd_f32s(registers).0.split_at_mut(next.delta_offset * rows);
            let delta = &mut before[layer.delta_offset * rows..][..outputs * rows];
            let after = &after[..next_outputs * rows];
            let weights = &parameters[*first..][..outputs * next_outputs];
            let strides = WeightStrides { term: 1, sum: next_outputs };
            in_tiles!(outputs, rows, |i, r| weighted_sums::<S; N, M>(simd, [rows, r], after, &weights[i * next_outputs..], strides, &mut delta[i * rows..]));
            let (values, delta) = registers.split_at_mut(layer.delta_offset * stride);
            let len = outputs * stride;
            let derivatives = layer.columns(values, layer.derivative_offset, stride);
            let a = &values[layer.output_offset * stride..][..len];
            layer.multiply_by_derivative(a, derivatives, &mut delta[..len]);
        }
    }

    /// Computes the gradients of the batch.
    #[inline(always)]
    pub(crate) fn gradients<S: Simd>(&self, simd: S, registers: &[f32], into: &mut [f32]) {
        let (registers, into) = (S::as_simd_f32s(registers).0, S::as_mut_simd_f32s(into).0);
        // A standalone member has one partial sum per lane. Lanes without a row would add only 0.
        let sums = self.config.standalone_lanes.min(self.span.rows.next_power_of_two());
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

/// Returns the values of one row of all lanes in each column.
#[inline(always)]
fn columns(values: &[f32], row: usize, stride: usize, lanes: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(stride).map(move |column| &column[row..row + lanes])
}

/// Computes the sums of products of `N` neurons for `M` rows, starting at row `row` of `rows` rows. Each sum multiplies
/// a register of every column of `x` by a weight.
#[inline(always)]
fn weighted_sums<S: Simd, const N: usize, const M: usize>(
    simd: S,
    [rows, row]: [usize; 2],
    x: &[S::f32s],
    weights: &[S::f32s],
    strides: WeightStrides,
    into: &mut [S::f32s],
) {
    let mut sums = [[simd.splat_f32s(0.0); M]; N];
    for (i, x) in x.chunks_exact(rows).enumerate() {
        let x = &x[row..][..M];
        for (n, sums) in sums.iter_mut().enumerate() {
            let weight = weights[i * strides.term + n * strides.sum];
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(*x, weight, *sum);
            }
        }
    }
    for (n, sums) in sums.iter().enumerate() {
        into[n * rows + row..][..M].copy_from_slice(sums);
    }
}

/// Computes the gradients of a layer: for each weight the sum over all rows of `x` times a delta.
///
/// It computes `P` partial sums of every `P`th row, and then adds the upper half of them to the lower half until one is
/// left. The lanes of a standalone member are summed in the same order.
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
