//! The metrics and the output delta of a small network.

use pulp::Simd;

use crate::{
    engine::{
        cpu::{
            elementwise::{self, OutputValues},
            layer::ThreadResult,
            small_network::SmallNetwork,
        },
        step::Step,
    },
    metrics::row_metrics::{correct_by_column, is_correct, row_loss},
    util::math::Fma,
};

/// The loss and the number of correct rows of some rows, weighted by the sample weights.
pub(super) struct WeightedMetrics {
    pub(super) loss: f64,
    pub(super) correct: f64,
}

impl SmallNetwork {
    /// Computes the loss, the number of correct rows and the delta of the output layer for the rows in the first `used`
    /// lanes. All other lanes get a delta of 0, so that they do not change the gradients.
    #[inline(always)]
    pub(super) fn evaluate_rows<S: Simd>(
        &self,
        step: &Step,
        used: usize,
        registers: &mut [f32],
        row_buffer: &mut [f32],
        result: &mut ThreadResult,
    ) {
        let Some(layer) = self.layers.last() else { return };
        let (lanes, len) = (S::F32_LANES, self.outputs * S::F32_LANES);
        let (values, delta) = registers.split_at_mut(layer.delta_offset * lanes);
        let (y, t) = (&values[layer.output_offset * lanes..][..len], &values[self.target_offset * lanes..][..len]);
        let delta = &mut delta[..len];
        let fma = Fma::detect::<S>();
        let correct = correct_by_column(
            (self.loss, self.is_multi_label),
            self.outputs,
            y.chunks_exact(lanes),
            t.chunks_exact(lanes),
        );
        result.correct += f64::from(correct.iter().take(used).sum::<u32>());
        if self.loss.needs_full_row() {
            delta.fill(0.0);
            let (row_y, rest) = row_buffer.split_at_mut(self.outputs);
            let (row_t, rest) = rest.split_at_mut(self.outputs);
            let row_delta = &mut rest[..self.outputs];
            for row in 0..used {
                let columns = y[row..].iter().step_by(lanes).zip(t[row..].iter().step_by(lanes));
                row_y.iter_mut().zip(&mut *row_t).zip(columns).for_each(|((y, t), from)| (*y, *t) = (*from.0, *from.1));
                result.loss += row_loss(self.loss, row_y, row_t);
                let values = OutputValues { outputs: row_y, targets: row_t, derivatives: &[] };
                elementwise::output_delta(fma, self.loss, layer.activation, step.loss_scale, values, row_delta);
                delta[row..].iter_mut().step_by(lanes).zip(&*row_delta).for_each(|(to, from)| *to = *from);
            }
        } else {
            let derivatives = layer.columns(values, layer.derivative_offset, lanes);
            let columns = y.chunks_exact(lanes).zip(t.chunks_exact(lanes));
            for (j, (delta, (y, t))) in delta.chunks_exact_mut(lanes).zip(columns).enumerate() {
                let derivatives = if derivatives.is_empty() { derivatives } else { &derivatives[j * lanes..][..lanes] };
                // These losses are sums over outputs, so one output of many rows is computed like many outputs of one
                // row.
                result.loss += row_loss(self.loss, &y[..used], &t[..used]);
                let values = OutputValues { outputs: y, targets: t, derivatives };
                elementwise::output_delta(fma, self.loss, layer.activation, step.loss_scale, values, delta);
                delta.iter_mut().enumerate().for_each(|(i, d)| *d = if i < used { *d } else { 0.0 });
            }
        }
    }

    /// Multiplies the delta of the output layer by the sample weights, and returns the weighted metrics of the rows in
    /// the first `used` lanes. It is a separate function, so that it does not slow down batches without sample weights.
    pub(super) fn apply_sample_weights(
        &self,
        lanes: usize,
        used: usize,
        registers: &mut [f32],
        row_buffer: &mut [f32],
    ) -> WeightedMetrics {
        let Some(layer) = self.layers.last() else { return WeightedMetrics { loss: 0.0, correct: 0.0 } };
        let len = self.outputs * lanes;
        let (values, delta) = registers.split_at_mut(layer.delta_offset * lanes);
        let (y, t) = (&values[layer.output_offset * lanes..][..len], &values[self.target_offset * lanes..][..len]);
        let weights = &values[(self.target_offset + self.outputs) * lanes..][..lanes];
        for delta in delta[..len].chunks_exact_mut(lanes) {
            delta.iter_mut().zip(weights).for_each(|(d, weight)| *d *= weight);
        }
        let (row_y, rest) = row_buffer.split_at_mut(self.outputs);
        let row_t = &mut rest[..self.outputs];
        let row_metrics = |(row, weight): (usize, &f32)| {
            let columns = y[row..].iter().step_by(lanes).zip(t[row..].iter().step_by(lanes));
            row_y.iter_mut().zip(&mut *row_t).zip(columns).for_each(|((y, t), from)| (*y, *t) = (*from.0, *from.1));
            let (weight, is_correct) = (f64::from(*weight), is_correct(self.loss, self.is_multi_label, row_y, row_t));
            let loss = weight * row_loss(self.loss, row_y, row_t);
            WeightedMetrics { loss, correct: if is_correct { weight } else { 0.0 } }
        };
        let rows = weights[..used].iter().enumerate().map(row_metrics);
        let add = |sums: WeightedMetrics, row: WeightedMetrics| WeightedMetrics {
            loss: sums.loss + row.loss,
            correct: sums.correct + row.correct,
        };
        rows.fold(WeightedMetrics { loss: 0.0, correct: 0.0 }, add)
    }
}
