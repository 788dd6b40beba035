//! The forward and the backward pass of one thread on its rows.

use crate::{
    engine::{
        cpu::{
            batch::BatchLayout,
            elementwise::{self, OutputValues},
            gemm::matmul_columns,
            layer::{DropoutIndex, ThreadResult, ThreadRows},
            normalization::{self, BatchRows, TrainingPass},
        },
        step::Step,
    },
    metrics::row_metrics::{is_correct, log_sum_exp, row_loss},
    nn::activation::Activation,
    util::math::Loops,
};

/// The flat parameters and the flat running statistics of a network.
#[derive(Clone, Copy)]
pub(crate) struct NetworkValues<'a> {
    pub(crate) parameters: &'a [f32],
    pub(crate) statistics: &'a [f32],
}

impl BatchLayout {
    /// Runs a step of one thread on its rows, except the update. `scratch` holds all of these rows, or one block of
    /// them.
    pub(crate) fn process_rows(
        &self,
        parameters: &[f32],
        rows: ThreadRows<'_>,
        scratch: &mut [f32],
        result: &mut ThreadResult,
        updates_running_stats: bool,
    ) {
        if let Some(small) = &self.small_network {
            return small.process_rows(parameters, rows, scratch, result);
        }
        let ThreadRows { step, read_row, rows } = rows;
        (result.loss, result.correct) = (0.0, 0.0);
        result.vector_gradients.fill(0.0);
        for first in rows.clone().step_by(self.block_rows) {
            let block = &mut scratch[..self.block_rows.min(rows.end - first) * self.stride];
            for (row, index) in block.chunks_exact_mut(self.stride).zip(first..) {
                let (inputs, targets) = row.split_at_mut(self.target_offset);
                let weight = read_row(index, &mut inputs[..self.inputs], &mut targets[..self.outputs]);
                if self.has_sample_weights {
                    targets[self.outputs] = weight;
                }
            }
            let training = TrainingPass { step, first_row: first, result, updates_running_stats };
            self.forward(parameters, block, Some(training), &[]);
            self.evaluate_rows(step, block, result);
            self.backward(parameters, block, result);
            if self.sums_per_thread {
                let beta = if first == rows.start { 0.0 } else { 1.0 };
                for range in &self.ranges {
                    self.add_gradient(range, block, &mut result.gradients[range.offset..], beta, 1.0);
                }
            }
        }
    }

    /// Computes the outputs for some rows of inputs. `scratch` has at least as many blank rows.
    pub(crate) fn predict(&self, values: NetworkValues<'_>, scratch: &mut [f32], inputs: &[f32], outputs: &mut [f32]) {
        let Some(last) = self.layers.last() else {
            return;
        };
        let inputs = inputs.chunks_exact(self.inputs);
        let rows = &mut scratch[..inputs.len() * self.stride];
        for (row, inputs) in rows.chunks_exact_mut(self.stride).zip(inputs) {
            row[..self.inputs].copy_from_slice(inputs);
        }
        self.forward(values.parameters, rows, None, values.statistics);
        let outputs = outputs.chunks_exact_mut(self.outputs);
        for (row, outputs) in rows.chunks_exact(self.stride).zip(outputs) {
            outputs.copy_from_slice(&row[last.output_offset..][..self.outputs]);
            if last.activation == Activation::Softmax {
                let normalizer = log_sum_exp(outputs.iter().map(|y| f64::from(*y)));
                outputs.iter_mut().for_each(|y| *y = (f64::from(*y) - normalizer).exp() as f32);
            }
        }
    }

    /// Computes the outputs of all layers, `a = activation([x 1] [W; b])`.
    fn forward(
        &self,
        parameters: &[f32],
        rows: &mut [f32],
        mut training: Option<TrainingPass<'_>>,
        statistics: &[f32],
    ) {
        for layer in &self.layers {
            let inputs = layer.layout.inputs + 1;
            let (x, a) = (layer.input_offset..layer.input_offset + inputs, layer.output_offset);
            matmul_columns(rows, self.stride, x, layer.weights(parameters, inputs), a);
            self.arch.dispatch(Loops(
                #[inline(always)]
                |fma| {
                    if layer.has_per_neuron_parameters {
                        let rows = BatchRows { values: &mut *rows, stride: self.stride };
                        return normalization::forward(layer, fma, parameters, rows, training.as_mut(), statistics);
                    }
                    let outputs = layer.layout.outputs;
                    let (Some(derivative_offset), Some(TrainingPass { step, first_row, .. })) =
                        (layer.derivative_offset, &training)
                    else {
                        for row in rows.chunks_exact_mut(self.stride) {
                            elementwise::activate(fma, layer.activation, &mut row[a..a + outputs]);
                        }
                        return;
                    };
                    for (row, index) in rows.chunks_exact_mut(self.stride).zip(*first_row..) {
                        let (values, derivatives) = row.split_at_mut(derivative_offset);
                        let (values, derivatives) = (&mut values[a..a + outputs], &mut derivatives[..outputs]);
                        layer.store_derivatives(fma, values, derivatives);
                        elementwise::activate(fma, layer.activation, values);
                        layer.apply_dropout(values, derivatives, |neuron| DropoutIndex {
                            neuron,
                            position: step.first_position + index as u32,
                            key: step.shuffle_key,
                        });
                    }
                },
            ));
        }
    }

    /// Computes the loss, the correct rows and the delta of the output layer.
    fn evaluate_rows(&self, step: &Step, rows: &mut [f32], result: &mut ThreadResult) {
        let Some(layer) = self.layers.last() else {
            return;
        };
        self.arch.dispatch(Loops(
            #[inline(always)]
            |fma| {
                for row in rows.chunks_exact_mut(self.stride) {
                    let (values, delta) = row.split_at_mut(layer.delta_offset);
                    let y = &values[layer.output_offset..][..self.outputs];
                    let t = &values[self.target_offset..][..self.outputs];
                    let delta = &mut delta[..self.outputs];
                    let weight = if self.has_sample_weights { values[self.target_offset + self.outputs] } else { 1.0 };
                    result.loss += f64::from(weight) * row_loss(self.loss, y, t);
                    result.correct +=
                        if is_correct(self.loss, self.is_multi_label, y, t) { f64::from(weight) } else { 0.0 };
                    let derivatives = layer.columns(values, layer.derivative_offset, 1);
                    let values = OutputValues { outputs: y, targets: t, derivatives };
                    let scale = step.loss_scale * weight;
                    elementwise::output_delta(fma, self.loss, layer.activation, scale, values, delta);
                }
            },
        ));
    }

    /// Computes `delta = (delta of the next layer) W^T * derivative`, from the last layer to the first.
    fn backward(&self, parameters: &[f32], rows: &mut [f32], result: &mut ThreadResult) {
        for pair in self.layers.windows(2).rev() {
            let (layer, next) = (&pair[0], &pair[1]);
            let outputs = layer.layout.outputs;
            let weights = next.weights(parameters, outputs).transposed();
            let delta = next.delta_offset..next.delta_offset + next.layout.outputs;
            matmul_columns(rows, self.stride, delta, weights, layer.delta_offset);
            self.arch.dispatch(Loops(
                #[inline(always)]
                |_| {
                    if layer.has_per_neuron_parameters {
                        let rows = BatchRows { values: &mut *rows, stride: self.stride };
                        return normalization::backward(layer, parameters, rows, result);
                    }
                    for row in rows.chunks_exact_mut(self.stride) {
                        let (values, delta) = row.split_at_mut(layer.delta_offset);
                        let a = &values[layer.output_offset..][..outputs];
                        let derivatives = layer.columns(values, layer.derivative_offset, 1);
                        layer.multiply_by_derivative(a, derivatives, &mut delta[..outputs]);
                    }
                },
            ));
        }
    }
}
