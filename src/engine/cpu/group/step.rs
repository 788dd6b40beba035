//! The steps of a group, in vector code.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::{
    data::noise,
    engine::cpu::{
        elementwise,
        group::{Group, Kind, LANES, sampling::Span},
        layer::Layer,
    },
    nn::layout::Place,
    util::math::Fma,
};

/// The arguments of some steps, to dispatch.
pub(crate) struct Work<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) group: &'a mut Group,
    pub(crate) steps: Range<u64>,
}

/// What the batch of a step brought.
struct Outcome {
    losses: [f64; LANES],
    right: [f64; LANES],
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kind, group, steps } = self;
        group.drawn.draw(kind, &group.seats, steps);
        group.told.clear();
        let mut at = 0;
        for number in 0..group.drawn.steps.len() {
            let span = group.drawn.steps[number];
            let rows = &group.drawn.rows[at * S::F32_LANES..][..span.rows * S::F32_LANES];
            at += span.rows;
            let pass = Pass { kind, span: &span, stride: span.rows * S::F32_LANES };
            let registers = &mut group.registers[..kind.small.columns * pass.stride];
            pass.bring(rows, registers);
            if kind.noise > 0.0 {
                pass.add_noise(S::F32_LANES, registers, &mut group.row[..kind.small.inputs]);
            }
            pass.forward(simd, &group.parameters, registers);
            let scale = kind.course.scale(span.rows);
            let outcome = pass.judge::<S>(scale, registers, &mut group.row);
            pass.backward(simd, &group.parameters, registers);
            pass.gradients(simd, registers, &mut group.sums);
            let mut told = [(0.0, 0.0); LANES];
            for (lane, told) in told.iter_mut().enumerate() {
                *told = ((outcome.losses[lane] * f64::from(scale)) as f32, outcome.right[lane]);
            }
            group.told.push(told);
            group.update(kind, number as u64);
        }
        let taken = group.drawn.steps.len() as u64;
        group.seats.iter_mut().for_each(|seat| seat.since += taken);
    }
}

/// A step on its way through the layers.
struct Pass<'a> {
    kind: &'a Kind,
    span: &'a Span,
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

impl Pass<'_> {
    /// Puts rows of the table into the first columns.
    #[inline(always)]
    fn bring(&self, rows: &[u32], registers: &mut [f32]) {
        let small = &self.kind.small;
        let width = small.inputs + 1 + small.outputs + usize::from(small.weighted);
        for (column, registers) in registers.chunks_exact_mut(self.stride).take(width).enumerate() {
            if column == small.inputs {
                registers.fill(1.0);
                continue;
            }
            let table = &self.kind.table[column..];
            for (to, row) in registers.iter_mut().zip(rows) {
                *to = table[*row as usize * width];
            }
        }
    }

    fn add_noise(&self, lanes: usize, registers: &mut [f32], row: &mut [f32]) {
        let [a, b] = &self.span.keys;
        for at in 0..self.stride {
            let (place, lane) = (self.span.first + at / lanes, at % lanes);
            let columns = || (at..).step_by(self.stride);
            row.iter_mut().zip(columns()).for_each(|(x, at)| *x = registers[at]);
            noise::add(self.kind.noise, [a[lane], b[lane]], place as u32, row);
            row.iter().zip(columns()).for_each(|(x, at)| registers[at] = *x);
        }
    }

    #[inline(always)]
    fn forward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        let (small, stride, rows) = (&self.kind.small, self.stride, self.span.rows);
        let parameters = S::as_simd_f32s(parameters).0;
        for (layer, first) in small.layers.iter().zip(&self.kind.places.layers) {
            let Place { inputs, outputs, .. } = layer.place;
            let (x, rest) = S::as_mut_simd_f32s(registers).0.split_at_mut(layer.to * rows);
            let (x, a) = (&x[layer.from * rows..][..(inputs + 1) * rows], &mut rest[..(outputs + 1) * rows]);
            let weights = &parameters[*first..][..(inputs + 1) * outputs];
            in_tiles!(outputs, rows, |j, r| sums::<S; N, M>(simd, [rows, r], x, &weights[j..], [outputs, 1], &mut a[j * rows..]));
            a[outputs * rows..].fill(simd.splat_f32s(1.0));
            let (a, len, fma) = (layer.to * stride, outputs * stride, Fma::of::<S>());
            let Some(slope) = layer.slope else {
                elementwise::activate(fma, layer.activation, &mut registers[a..][..len]);
                continue;
            };
            let (values, slopes) = registers.split_at_mut(slope * stride);
            let (values, slopes) = (&mut values[a..][..len], &mut slopes[..len]);
            layer.keep_slopes(fma, values, slopes);
            elementwise::activate(fma, layer.activation, values);
            layer.drop_out(values, slopes, |at| {
                let (row, lane) = (at % stride / S::F32_LANES, at % S::F32_LANES);
                let key = [self.span.keys[0][lane], self.span.keys[1][lane]];
                (at / stride, (self.span.first + row) as u32, key)
            });
        }
    }

    /// The losses, the right answers and the output layer's delta.
    #[inline(always)]
    fn judge<S: Simd>(&self, scale: f32, registers: &mut [f32], row: &mut [f32]) -> Outcome {
        let mut outcome = Outcome { losses: [0.0; LANES], right: [0.0; LANES] };
        let (small, stride, lanes) = (&self.kind.small, self.stride, S::F32_LANES);
        let Some(layer) = small.layers.last() else { return outcome };
        let (len, fma) = (small.outputs * stride, Fma::of::<S>());
        let (values, delta) = registers.split_at_mut(layer.delta * stride);
        let (y, t) = (&values[layer.to * stride..][..len], &values[small.expected * stride..][..len]);
        let weights = &values[(small.expected + small.outputs) * stride..][..stride];
        let delta = &mut delta[..len];
        for row in (0..stride).step_by(lanes) {
            let right = crate::metrics::row_metrics::right_of_columns(
                (small.loss, small.labels),
                small.outputs,
                columns(y, row, stride, lanes),
                columns(t, row, stride, lanes),
            );
            for (lane, (sum, right)) in outcome.right.iter_mut().zip(right).take(lanes).enumerate() {
                let weight = if small.weighted { f64::from(weights[row + lane]) } else { 1.0 };
                *sum += weight * f64::from(right);
            }
        }
        if small.loss.looks_at_the_row() {
            for row in (0..stride).step_by(lanes) {
                let (rows, delta) = ((&y[row..], &t[row..]), &mut delta[row..]);
                match lanes {
                    16 => elementwise::softmax_delta::<16>(fma, small.loss, scale, rows, delta, stride),
                    8 => elementwise::softmax_delta::<8>(fma, small.loss, scale, rows, delta, stride),
                    _ => elementwise::softmax_delta::<4>(fma, small.loss, scale, rows, delta, stride),
                }
            }
        } else {
            let kept = layer.columns(values, layer.slope, stride);
            elementwise::output_delta(fma, (small.loss, layer.activation), scale, (y, t, kept), delta);
        }
        if small.weighted {
            for delta in delta.chunks_exact_mut(stride) {
                for (d, weight) in delta.iter_mut().zip(weights) {
                    *d *= weight;
                }
            }
        }
        if small.weighted || small.loss.looks_at_the_row() {
            self.judge_rows(lanes, (y, t, weights), row, &mut outcome.losses);
            return outcome;
        }
        // A sum for each output and as many rows as one network alone has lanes for.
        for rows in (0..self.span.rows).step_by(self.kind.sums) {
            let rows = rows * lanes..(rows + self.kind.sums).min(self.span.rows) * lanes;
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
    fn judge_rows(
        &self,
        lanes: usize,
        (y, t, weights): (&[f32], &[f32], &[f32]),
        row: &mut [f32],
        losses: &mut [f64; LANES],
    ) {
        let (small, stride) = (&self.kind.small, self.stride);
        let (row_y, row_t) = row[..2 * small.outputs].split_at_mut(small.outputs);
        let mut of = |at: usize| {
            row_y.iter_mut().zip(y[at..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
            row_t.iter_mut().zip(t[at..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
            crate::metrics::row_metrics::loss_of_row(small.loss, row_y, row_t)
        };
        for (lane, loss) in losses.iter_mut().take(lanes).enumerate() {
            if !small.weighted {
                (lane..stride).step_by(lanes).for_each(|at| *loss += of(at));
                continue;
            }
            for first in (0..stride).step_by(self.kind.sums * lanes) {
                let rows = first + lane..stride.min(first + self.kind.sums * lanes);
                *loss += rows.step_by(lanes).map(|at| f64::from(weights[at]) * of(at)).sum::<f64>();
            }
        }
    }

    #[inline(always)]
    fn backward<S: Simd>(&self, simd: S, parameters: &[f32], registers: &mut [f32]) {
        let (stride, rows) = (self.stride, self.span.rows);
        let parameters = S::as_simd_f32s(parameters).0;
        let firsts = self.kind.places.layers.iter().skip(1);
        for (pair, first) in self.kind.small.layers.windows(2).zip(firsts).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let (width, outputs) = (layer.place.outputs, next.place.outputs);
            let (before, after) = S::as_mut_simd_f32s(registers).0.split_at_mut(next.delta * rows);
            let (delta, after) = (&mut before[layer.delta * rows..][..width * rows], &after[..outputs * rows]);
            let weights = &parameters[*first..][..width * outputs];
            in_tiles!(width, rows, |i, r| sums::<S; N, M>(simd, [rows, r], after, &weights[i * outputs..], [1, outputs], &mut delta[i * rows..]));
            let (values, delta) = registers.split_at_mut(layer.delta * stride);
            let len = width * stride;
            let kept = layer.columns(values, layer.slope, stride);
            layer.times_slope(&values[layer.to * stride..][..len], kept, &mut delta[..len]);
        }
    }

    #[inline(always)]
    fn gradients<S: Simd>(&self, simd: S, registers: &[f32], into: &mut [f32]) {
        let (registers, into) = (S::as_simd_f32s(registers).0, S::as_mut_simd_f32s(into).0);
        // In the lanes of one network alone beyond its rows there would be nothing.
        let sums = self.kind.sums.min(self.span.rows.next_power_of_two());
        for (layer, first) in self.kind.small.layers.iter().zip(&self.kind.places.layers) {
            let into = &mut into[*first..];
            match sums {
                1 => products::<S, 1>(simd, layer, self.span.rows, registers, into),
                2 => products::<S, 2>(simd, layer, self.span.rows, registers, into),
                4 => products::<S, 4>(simd, layer, self.span.rows, registers, into),
                8 => products::<S, 8>(simd, layer, self.span.rows, registers, into),
                _ => products::<S, 16>(simd, layer, self.span.rows, registers, into),
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
fn sums<S: Simd, const N: usize, const M: usize>(
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
fn products<S: Simd, const P: usize>(simd: S, layer: &Layer, rows: usize, registers: &[S::f32s], into: &mut [S::f32s]) {
    let Place { inputs, outputs, .. } = layer.place;
    let all_x = registers[layer.from * rows..].chunks_exact(rows).take(inputs + 1);
    for (x, into) in all_x.zip(into.chunks_exact_mut(outputs)) {
        for (delta, into) in registers[layer.delta * rows..].chunks_exact(rows).zip(into) {
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
