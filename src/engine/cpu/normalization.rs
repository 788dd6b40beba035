//! What lies between a layer's sum and its activation: a norm, or a learned slope; forward and back, for some rows. A batch
//! norm gets all rows of the batch at once.

use crate::{
    engine::{
        cpu::{
            elementwise,
            layer::{Layer, ThreadResult},
        },
        step::Step,
    },
    nn::{
        normalization::{EPSILON, MOMENTUM, Normalization},
        tensors::TensorKind,
    },
    util::math::Fma,
};

/// What a forward pass in training brings and leaves.
pub(crate) struct TrainingPass<'a> {
    pub(crate) step: &'a Step,
    /// The number of the first row.
    pub(crate) first_row: usize,
    pub(crate) result: &'a mut ThreadResult,
    /// Whether running statistics move.
    pub(crate) updates_running_stats: bool,
}

/// From the sums to the outputs, row by row; `statistics` are the running ones.
pub(crate) fn forward(
    layer: &Layer,
    fma: Fma,
    parameters: &[f32],
    (rows, stride): (&mut [f32], usize),
    training: Option<&mut TrainingPass<'_>>,
    statistics: &[f32],
) {
    let (a, outputs) = (layer.output_offset, layer.layout.outputs);
    let Some((norm, normed)) = layer.normalization else {
        let slopes = layer.per_neuron_values(parameters, TensorKind::PreluSlope);
        for row in rows.chunks_exact_mut(stride) {
            for (j, slope) in slopes.iter().enumerate() {
                let z = row[a + j];
                if let Some(kept) = layer.derivative_offset {
                    row[kept + j] = z;
                }
                row[a + j] = if z < 0.0 { slope * z } else { z };
            }
        }
        return;
    };
    let (means, inverses) = match (norm, &training) {
        (Normalization::Layer, _) => (Vec::new(), Vec::new()),
        (Normalization::Batch, None) => {
            let means = layer.per_neuron_values(statistics, TensorKind::RunningMean);
            let variances = layer.per_neuron_values(statistics, TensorKind::RunningVar);
            let inverse = |variance: &f32| (1.0 / (f64::from(*variance) + EPSILON).sqrt()) as f32;
            (means.to_vec(), variances.iter().map(inverse).collect())
        }
        (Normalization::Batch, Some(_)) => {
            let (means, variances) = column_moments(rows, stride, a, outputs);
            (means, variances.iter().map(|v| (1.0 / (f64::from(*v) + EPSILON).sqrt()) as f32).collect())
        }
    };
    for row in rows.chunks_exact_mut(stride) {
        if norm == Normalization::Layer {
            let (mean, variance) = moments(row[a..a + outputs].iter().map(|z| f64::from(*z)));
            let inverse = (1.0 / (variance + EPSILON).sqrt()) as f32;
            row[normed + outputs] = inverse;
            (0..outputs).for_each(|j| row[normed + j] = (row[a + j] - mean as f32) * inverse);
        } else {
            (0..outputs).for_each(|j| row[normed + j] = (row[a + j] - means[j]) * inverses[j]);
        }
        let (gain, shift) = (
            layer.per_neuron_values(parameters, TensorKind::Gamma),
            layer.per_neuron_values(parameters, TensorKind::Beta),
        );
        (0..outputs).for_each(|j| row[a + j] = gain[j] * row[normed + j] + shift[j]);
    }
    let Some(training) = training else {
        for row in rows.chunks_exact_mut(stride) {
            elementwise::activate(fma, layer.activation, &mut row[a..a + outputs]);
        }
        return;
    };
    if norm == Normalization::Batch && training.updates_running_stats {
        update_running_stats(layer, training, &means, &inverses);
    }
    if norm == Normalization::Batch {
        training.result.inverse_stds[inverse_std_offset(layer)..][..outputs].copy_from_slice(&inverses);
    }
    for (row, number) in rows.chunks_exact_mut(stride).zip(training.first_row..) {
        let Some(slope) = layer.derivative_offset else {
            elementwise::activate(fma, layer.activation, &mut row[a..a + outputs]);
            continue;
        };
        let (values, slopes) = row.split_at_mut(slope);
        let (values, slopes) = (&mut values[a..a + outputs], &mut slopes[..outputs]);
        layer.store_derivatives(fma, values, slopes);
        elementwise::activate(fma, layer.activation, values);
        layer.apply_dropout(values, slopes, |at| {
            (at, training.step.first_position + number as u32, training.step.shuffle_key)
        });
    }
}

/// Moves the running statistics towards those of the batch.
fn update_running_stats(layer: &Layer, training: &mut TrainingPass<'_>, means: &[f32], inverses: &[f32]) {
    let rows = f64::from(training.step.rows);
    let unbiased = rows / (rows - 1.0).max(1.0);
    let (Some(running_mean), Some(running_var)) =
        (layer.tensor(TensorKind::RunningMean), layer.tensor(TensorKind::RunningVar))
    else {
        return;
    };
    let statistics = &mut training.result.statistics;
    let towards = |old: &mut f32, new: f64| *old = (f64::from(*old) + MOMENTUM * (new - f64::from(*old))) as f32;
    for (j, (mean, inverse)) in means.iter().zip(inverses).enumerate() {
        towards(&mut statistics[running_mean.offset + j], f64::from(*mean));
        let variance = 1.0 / (f64::from(*inverse) * f64::from(*inverse)) - EPSILON;
        towards(&mut statistics[running_var.offset + j], unbiased * variance);
    }
}

/// Where the inverse deviations of a batch norm start in a lane: one for each two of its running statistics.
fn inverse_std_offset(layer: &Layer) -> usize {
    layer.tensor(TensorKind::RunningMean).map_or(0, |running| running.offset / 2)
}

/// Mean and variance.
fn moments(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|z| (z - mean) * (z - mean)).sum::<f64>() / count)
}

/// Mean and variance of each of so many columns.
fn column_moments(rows: &[f32], stride: usize, first: usize, count: usize) -> (Vec<f32>, Vec<f32>) {
    let of = |j: usize| moments(rows[first + j..].iter().step_by(stride).map(|z| f64::from(*z)));
    (0..count).map(of).map(|(mean, variance)| (mean as f32, variance as f32)).unzip()
}

/// From `dLoss/da` in the delta's columns to `dLoss/dz`; the gradients of what is learned are added to the lane's.
pub(crate) fn backward(
    layer: &Layer,
    parameters: &[f32],
    (rows, stride): (&mut [f32], usize),
    result: &mut ThreadResult,
) {
    let (delta, outputs) = (layer.delta_offset, layer.layout.outputs);
    let sums = &mut result.vector_gradients[layer.vector_gradient_offset..][..layer.per_neuron_len()];
    let Some((norm, normed)) = layer.normalization else {
        let slopes = layer.per_neuron_values(parameters, TensorKind::PreluSlope);
        let Some(kept) = layer.derivative_offset else { return };
        for row in rows.chunks_exact_mut(stride) {
            for (j, slope) in slopes.iter().enumerate() {
                let z = row[kept + j];
                sums[j] += row[delta + j] * z.min(0.0);
                row[delta + j] *= if z > 0.0 { 1.0 } else { *slope };
            }
        }
        return;
    };
    let gain = layer.per_neuron_values(parameters, TensorKind::Gamma);
    // In the order of `Layer::per_neuron_tensors`.
    let (gains, shifts) = sums.split_at_mut(outputs);
    let count = (rows.len() / stride) as f32;
    for row in rows.chunks_exact_mut(stride) {
        let (values, deltas) = row.split_at_mut(delta);
        let (d, kept) = (&mut deltas[..outputs], layer.columns(values, layer.derivative_offset, 1));
        layer.multiply_by_derivative(&values[layer.output_offset..][..outputs], kept, d);
        let x = &values[normed..][..outputs];
        for j in 0..outputs {
            gains[j] += d[j] * x[j];
            shifts[j] += d[j];
        }
        if norm == Normalization::Layer {
            let (mut mean, mut slope) = (0.0, 0.0);
            for j in 0..outputs {
                d[j] *= gain[j];
                mean += d[j];
                slope += d[j] * x[j];
            }
            let (mean, slope, inverse) = (mean / outputs as f32, slope / outputs as f32, values[normed + outputs]);
            (0..outputs).for_each(|j| d[j] = inverse * (d[j] - mean - x[j] * slope));
        }
    }
    if norm == Normalization::Batch {
        let inverses = &result.inverse_stds[inverse_std_offset(layer)..][..outputs];
        for row in rows.chunks_exact_mut(stride) {
            for j in 0..outputs {
                let centred = row[delta + j] - shifts[j] / count - row[normed + j] * gains[j] / count;
                row[delta + j] = gain[j] * inverses[j] * centred;
            }
        }
    }
}
