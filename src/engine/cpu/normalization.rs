//! The part of a layer between its pre-activations and its outputs, for layers with normalization or PReLU.
//!
//! The functions process some rows of a batch. With batch normalization they get all rows of the batch at once.

use crate::{
    engine::{
        cpu::{
            elementwise,
            layer::{DropoutIndex, Layer, NormalizationColumns, ThreadResult},
        },
        step::Step,
    },
    nn::{
        normalization::{EPSILON, MOMENTUM, Normalization},
        tensors::TensorKind,
    },
    util::math::Fma,
};

/// The state of a forward pass in training.
pub(crate) struct TrainingPass<'a> {
    pub(crate) step: &'a Step,
    /// The index of the first row in the batch.
    pub(crate) first_row: usize,
    pub(crate) result: &'a mut ThreadResult,
    /// Whether batch normalization updates the running statistics.
    pub(crate) updates_running_stats: bool,
}

/// Some rows of a batch in the layout of [`crate::engine::cpu::batch`].
pub(crate) struct BatchRows<'a> {
    pub(crate) values: &'a mut [f32],
    /// The distance between the starts of two rows.
    pub(crate) stride: usize,
}

/// Replaces the pre-activations by the outputs. `statistics` are the running statistics, which only a prediction uses.
pub(crate) fn forward(
    layer: &Layer,
    fma: Fma,
    parameters: &[f32],
    BatchRows { values: rows, stride }: BatchRows<'_>,
    training: Option<&mut TrainingPass<'_>>,
    statistics: &[f32],
) {
    let (a, outputs) = (layer.output_offset, layer.layout.outputs);
    let Some(NormalizationColumns { kind, offset: normalized }) = layer.normalization else {
        let slopes = layer.per_neuron_values(parameters, TensorKind::PreluSlope);
        for row in rows.chunks_exact_mut(stride) {
            for (j, slope) in slopes.iter().enumerate() {
                let z = row[a + j];
                // The backward pass needs the pre-activations, so store them in the columns of the derivatives.
                if let Some(z_offset) = layer.derivative_offset {
                    row[z_offset + j] = z;
                }
                row[a + j] = if z < 0.0 { slope * z } else { z };
            }
        }
        return;
    };
    let (means, inverse_stds) = match (kind, &training) {
        (Normalization::Layer, _) => (Vec::new(), Vec::new()),
        (Normalization::Batch, None) => {
            let means = layer.per_neuron_values(statistics, TensorKind::RunningMean);
            let variances = layer.per_neuron_values(statistics, TensorKind::RunningVar);
            let inverse_std = |variance: &f32| (1.0 / (f64::from(*variance) + EPSILON).sqrt()) as f32;
            (means.to_vec(), variances.iter().map(inverse_std).collect())
        }
        (Normalization::Batch, Some(_)) => {
            let (means, variances) = column_moments(rows, stride, a, outputs);
            (means, variances.iter().map(|v| (1.0 / (f64::from(*v) + EPSILON).sqrt()) as f32).collect())
        }
    };
    for row in rows.chunks_exact_mut(stride) {
        if kind == Normalization::Layer {
            let (mean, variance) = moments(row[a..a + outputs].iter().map(|z| f64::from(*z)));
            let inverse_std = (1.0 / (variance + EPSILON).sqrt()) as f32;
            row[normalized + outputs] = inverse_std;
            (0..outputs).for_each(|j| row[normalized + j] = (row[a + j] - mean as f32) * inverse_std);
        } else {
            (0..outputs).for_each(|j| row[normalized + j] = (row[a + j] - means[j]) * inverse_stds[j]);
        }
        let (gamma, beta) = (
            layer.per_neuron_values(parameters, TensorKind::Gamma),
            layer.per_neuron_values(parameters, TensorKind::Beta),
        );
        (0..outputs).for_each(|j| row[a + j] = gamma[j] * row[normalized + j] + beta[j]);
    }
    let Some(training) = training else {
        for row in rows.chunks_exact_mut(stride) {
            elementwise::activate(fma, layer.activation, &mut row[a..a + outputs]);
        }
        return;
    };
    if kind == Normalization::Batch && training.updates_running_stats {
        update_running_stats(layer, training, &means, &inverse_stds);
    }
    if kind == Normalization::Batch {
        training.result.inverse_stds[inverse_std_offset(layer)..][..outputs].copy_from_slice(&inverse_stds);
    }
    for (row, index) in rows.chunks_exact_mut(stride).zip(training.first_row..) {
        let Some(derivative_offset) = layer.derivative_offset else {
            elementwise::activate(fma, layer.activation, &mut row[a..a + outputs]);
            continue;
        };
        let (values, derivatives) = row.split_at_mut(derivative_offset);
        let (values, derivatives) = (&mut values[a..a + outputs], &mut derivatives[..outputs]);
        layer.store_derivatives(fma, values, derivatives);
        elementwise::activate(fma, layer.activation, values);
        layer.apply_dropout(values, derivatives, |neuron| DropoutIndex {
            neuron,
            position: training.step.first_position + index as u32,
            key: training.step.shuffle_key,
        });
    }
}

/// Moves the running statistics towards the mean and the unbiased variance of the batch.
fn update_running_stats(layer: &Layer, training: &mut TrainingPass<'_>, means: &[f32], inverse_stds: &[f32]) {
    let rows = f64::from(training.step.rows);
    let bessel_correction = rows / (rows - 1.0).max(1.0);
    let (Some(running_mean), Some(running_var)) =
        (layer.tensor(TensorKind::RunningMean), layer.tensor(TensorKind::RunningVar))
    else {
        return;
    };
    let statistics = &mut training.result.statistics;
    let move_towards = |old: &mut f32, new: f64| *old = (f64::from(*old) + MOMENTUM * (new - f64::from(*old))) as f32;
    for (j, (mean, inverse_std)) in means.iter().zip(inverse_stds).enumerate() {
        move_towards(&mut statistics[running_mean.offset + j], f64::from(*mean));
        let variance = 1.0 / (f64::from(*inverse_std) * f64::from(*inverse_std)) - EPSILON;
        move_towards(&mut statistics[running_var.offset + j], bessel_correction * variance);
    }
}

/// Returns the offset of the inverse standard deviations of a layer in [`ThreadResult::inverse_stds`]. A layer has half
/// as many of them as running statistics, which are means and variances.
fn inverse_std_offset(layer: &Layer) -> usize {
    layer.tensor(TensorKind::RunningMean).map_or(0, |running_mean| running_mean.offset / 2)
}

/// Returns the mean and the biased variance.
fn moments(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|z| (z - mean) * (z - mean)).sum::<f64>() / count)
}

/// Returns the means and the biased variances of `count` columns, starting at column `first`.
fn column_moments(rows: &[f32], stride: usize, first: usize, count: usize) -> (Vec<f32>, Vec<f32>) {
    let column = |j: usize| moments(rows[first + j..].iter().step_by(stride).map(|z| f64::from(*z)));
    (0..count).map(column).map(|(mean, variance)| (mean as f32, variance as f32)).unzip()
}

/// Replaces `dLoss/da` in the columns of the delta by `dLoss/dz`, and adds the gradients of the per-neuron parameters
/// to the result of the thread. [`crate::engine::reference::normalization_backward`] has the formulas.
pub(crate) fn backward(
    layer: &Layer,
    parameters: &[f32],
    BatchRows { values: rows, stride }: BatchRows<'_>,
    result: &mut ThreadResult,
) {
    let (delta, outputs) = (layer.delta_offset, layer.layout.outputs);
    let gradients = &mut result.vector_gradients[layer.vector_gradient_offset..][..layer.per_neuron_len()];
    let Some(NormalizationColumns { kind, offset: normalized }) = layer.normalization else {
        let slopes = layer.per_neuron_values(parameters, TensorKind::PreluSlope);
        let Some(z_offset) = layer.derivative_offset else { return };
        for row in rows.chunks_exact_mut(stride) {
            for (j, slope) in slopes.iter().enumerate() {
                let z = row[z_offset + j];
                gradients[j] += row[delta + j] * z.min(0.0);
                row[delta + j] *= if z > 0.0 { 1.0 } else { *slope };
            }
        }
        return;
    };
    let gamma = layer.per_neuron_values(parameters, TensorKind::Gamma);
    // This is the order of `Layer::per_neuron_tensors`.
    let (gamma_gradients, beta_gradients) = gradients.split_at_mut(outputs);
    let count = (rows.len() / stride) as f32;
    for row in rows.chunks_exact_mut(stride) {
        let (values, deltas) = row.split_at_mut(delta);
        let (d, derivatives) = (&mut deltas[..outputs], layer.columns(values, layer.derivative_offset, 1));
        layer.multiply_by_derivative(&values[layer.output_offset..][..outputs], derivatives, d);
        let x = &values[normalized..][..outputs];
        for j in 0..outputs {
            gamma_gradients[j] += d[j] * x[j];
            beta_gradients[j] += d[j];
        }
        if kind == Normalization::Layer {
            let (mut mean, mut product_mean) = (0.0, 0.0);
            for j in 0..outputs {
                d[j] *= gamma[j];
                mean += d[j];
                product_mean += d[j] * x[j];
            }
            let (mean, product_mean, inverse_std) =
                (mean / outputs as f32, product_mean / outputs as f32, values[normalized + outputs]);
            (0..outputs).for_each(|j| d[j] = inverse_std * (d[j] - mean - x[j] * product_mean));
        }
    }
    if kind == Normalization::Batch {
        let inverse_stds = &result.inverse_stds[inverse_std_offset(layer)..][..outputs];
        for row in rows.chunks_exact_mut(stride) {
            for j in 0..outputs {
                let centered =
                    row[delta + j] - beta_gradients[j] / count - row[normalized + j] * gamma_gradients[j] / count;
                row[delta + j] = gamma[j] * inverse_stds[j] * centered;
            }
        }
    }
}
