//! The gradients of a step, and the update that uses them.

use rayon::prelude::*;

use crate::{
    engine::{
        cpu::{
            batch::{BatchLayout, ParameterRange},
            gemm::{Matrix, matmul},
            layer::ThreadResult,
            update::{apply_rule, update},
        },
        step::Step,
    },
    nn::layout::LayerLayout,
    optim::update_rule::UpdateRule,
    util::math::Loops,
};

/// The source of the gradients.
#[derive(Clone, Copy)]
pub(crate) enum GradientSource<'a> {
    /// The rows of the batch, after the backward pass.
    Rows(&'a [f32]),
    /// The sums of all threads.
    ThreadSums(&'a [ThreadResult]),
    /// The stored full gradients, multiplied by a factor.
    Full(f32),
}

/// The use of the gradients.
#[derive(Clone, Copy)]
pub(crate) enum GradientUse<'a> {
    /// Update the parameters.
    Update(&'a Step),
    /// Store the gradients. They are added to the stored gradients, or overwrite them.
    Store { overwrites: bool },
}

/// The values of some parameter ranges.
pub(crate) struct ParameterSlices<'a> {
    pub(crate) parameters: &'a mut [f32],
    pub(crate) gradients: &'a mut [f32],
    pub(crate) state: &'a mut [f32],
}

impl BatchLayout {
    /// Computes `into = alpha [x 1]^T delta + beta into` for a range of the parameters.
    pub(crate) fn add_gradient(&self, range: &ParameterRange, rows: &[f32], into: &mut [f32], beta: f32, alpha: f32) {
        let (layer, count) = (&self.layers[range.layer], rows.len() / self.stride);
        let LayerLayout { outputs, stride, .. } = layer.layout;
        let x = &rows[layer.input_offset + range.rows.start..];
        let x = Matrix::new(x, count, range.rows.len(), self.stride);
        let delta = Matrix::new(&rows[layer.delta_offset..], count, outputs, self.stride);
        matmul(x.transposed(), delta, into, stride, beta, alpha);
    }

    /// Computes the gradients of `ranges`, and updates the parameters or stores the gradients. `flat` starts at the
    /// first range.
    pub(crate) fn apply_gradients(
        &self,
        ranges: &[ParameterRange],
        source: GradientSource<'_>,
        gradient_use: GradientUse<'_>,
        flat: ParameterSlices<'_>,
    ) {
        if let [range] = ranges {
            return self.apply_to_range(range, source, gradient_use, flat);
        }
        let (left, right) = ranges.split_at(ranges.len() / 2);
        let middle = right[0].offset - left[0].offset;
        let (parameters, right_parameters) = flat.parameters.split_at_mut(middle);
        let (gradients, right_gradients) = flat.gradients.split_at_mut(middle);
        let (state, right_state) = flat.state.split_at_mut(middle * self.optimizer.state_per_parameter());
        let left_flat = ParameterSlices { parameters, gradients, state };
        let right_flat =
            ParameterSlices { parameters: right_parameters, gradients: right_gradients, state: right_state };
        if self.threads > 1 {
            rayon::join(
                || self.apply_gradients(left, source, gradient_use, left_flat),
                || self.apply_gradients(right, source, gradient_use, right_flat),
            );
        } else {
            self.apply_gradients(left, source, gradient_use, left_flat);
            self.apply_gradients(right, source, gradient_use, right_flat);
        }
    }

    /// Adds the gradients of the per-neuron parameters from all threads to `gradients`, or overwrites `gradients` with
    /// them.
    pub(crate) fn add_vector_gradients(&self, results: &[ThreadResult], overwrites: bool, gradients: &mut [f32]) {
        for layer in &self.layers {
            let mut offset = layer.vector_gradient_offset;
            for tensor in layer.per_neuron_tensors() {
                let len = tensor.spec.len();
                let into = &mut gradients[tensor.offset..][..len];
                if overwrites {
                    into.fill(0.0);
                }
                for result in results {
                    let sums = &result.vector_gradients[offset..][..len];
                    into.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
                }
                offset += len;
            }
        }
    }

    /// Does the work of [`BatchLayout::apply_gradients`] for one range.
    fn apply_to_range(
        &self,
        range: &ParameterRange,
        source: GradientSource<'_>,
        gradient_use: GradientUse<'_>,
        flat: ParameterSlices<'_>,
    ) {
        let ParameterSlices { parameters, gradients, state } = flat;
        let beta = if matches!(gradient_use, GradientUse::Store { overwrites: false }) { 1.0 } else { 0.0 };
        match (source, gradient_use) {
            (GradientSource::Rows(rows), GradientUse::Update(step))
                if self.is_plain_rule && self.optimizer.rule == UpdateRule::Sgd =>
            {
                // Plain SGD needs no gradients in memory: the matmul adds its product directly to the parameters.
                return self.add_gradient(range, rows, parameters, 1.0, -step.coefficients.learning_rate);
            }
            (GradientSource::ThreadSums([result]), GradientUse::Update(step)) if self.is_plain_rule => {
                let sums = &result.gradients[range.offset..];
                return self.arch.dispatch(Loops(
                    #[inline(always)]
                    |_| apply_rule(self.optimizer.rule, |_| step.coefficients, parameters, sums, state),
                ));
            }
            (GradientSource::Rows(rows), _) => self.add_gradient(range, rows, gradients, beta, 1.0),
            (GradientSource::ThreadSums(results), _) => self.arch.dispatch(Loops(
                #[inline(always)]
                |_| {
                    if beta == 0.0 {
                        gradients.fill(0.0);
                    }
                    for result in results {
                        let sums = &result.gradients[range.offset..];
                        gradients.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
                    }
                },
            )),
            (GradientSource::Full(factor), _) => gradients.iter_mut().for_each(|g| *g *= factor),
        }
        let GradientUse::Update(step) = gradient_use else { return };
        let penalty_mask = self.penalty_mask.get(range.offset..).unwrap_or_default();
        self.arch.dispatch(Loops(
            #[inline(always)]
            |_| update(&self.optimizer, |_| step.coefficients, parameters, gradients, state, penalty_mask),
        ));
    }

    /// Returns the factor that turns the sum of the gradients of several batches into their mean, clipped to the
    /// gradient norm of the optimizer.
    ///
    /// The sum of squares has an order that does not depend on the number of threads.
    pub(crate) fn clip_factor(&self, gradients: &[f32], batches: u64) -> f32 {
        /// The number of floats that one thread sums.
        const PIECE_FLOATS: usize = 64 * 1024;
        let mean = 1.0 / batches as f64;
        let Some(max_norm) = self.optimizer.clip_norm else { return mean as f32 };
        let sum_squares = |piece: &[f32]| piece.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
        let sums: Vec<f64> = if self.threads > 1 {
            gradients.par_chunks(PIECE_FLOATS).map(sum_squares).collect()
        } else {
            gradients.chunks(PIECE_FLOATS).map(sum_squares).collect()
        };
        let norm = sums.iter().sum::<f64>().sqrt() * mean;
        (mean * (max_norm / (norm + 1e-6)).min(1.0)) as f32
    }
}
