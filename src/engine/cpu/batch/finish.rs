//! The second half of a step: the gradients, and what becomes of them.

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

/// From what the gradients are made: from the rows of the batch, or from the threads' sums; or they are whole already, and
/// multiplied by a number.
#[derive(Clone, Copy)]
pub(crate) enum GradientSource<'a> {
    Rows(&'a [f32]),
    ThreadSums(&'a [ThreadResult]),
    Full(f32),
}

/// What becomes of the gradients.
#[derive(Clone, Copy)]
pub(crate) enum GradientUse<'a> {
    Update(&'a Step),
    /// They are kept, in place of those that were or added to them.
    Store {
        overwrites: bool,
    },
}

/// What belongs to some parts of the parameters.
pub(crate) struct ParameterSlices<'a> {
    pub(crate) parameters: &'a mut [f32],
    pub(crate) gradients: &'a mut [f32],
    pub(crate) state: &'a mut [f32],
}

impl BatchLayout {
    /// `into = keep * into + scale [x 1]^T delta`, for a part of the parameters.
    pub(crate) fn add_gradient(&self, part: &ParameterRange, rows: &[f32], into: &mut [f32], beta: f32, scale: f32) {
        let (layer, count) = (&self.layers[part.layer], rows.len() / self.stride);
        let LayerLayout { outputs, stride, .. } = layer.layout;
        let x = &rows[layer.input_offset + part.rows.start..];
        let x = Matrix::new(x, count, part.rows.len(), self.stride);
        let delta = Matrix::new(&rows[layer.delta_offset..], count, outputs, self.stride);
        matmul(x.transposed(), delta, into, stride, beta, scale);
    }

    /// The gradients of `parts`, and what becomes of them; `flat` begins at the first part.
    pub(crate) fn apply_gradients(
        &self,
        parts: &[ParameterRange],
        source: GradientSource<'_>,
        purpose: GradientUse<'_>,
        flat: ParameterSlices<'_>,
    ) {
        if let [part] = parts {
            return self.apply_to_range(part, source, purpose, flat);
        }
        let (left, right) = parts.split_at(parts.len() / 2);
        let middle = right[0].offset - left[0].offset;
        let (parameters, next_parameters) = flat.parameters.split_at_mut(middle);
        let (gradients, next_gradients) = flat.gradients.split_at_mut(middle);
        let (state, next_state) = flat.state.split_at_mut(middle * self.optimizer.state_per_parameter());
        let flat = ParameterSlices { parameters, gradients, state };
        let next = ParameterSlices { parameters: next_parameters, gradients: next_gradients, state: next_state };
        if self.threads > 1 {
            rayon::join(
                || self.apply_gradients(left, source, purpose, flat),
                || self.apply_gradients(right, source, purpose, next),
            );
        } else {
            self.apply_gradients(left, source, purpose, flat);
            self.apply_gradients(right, source, purpose, next);
        }
    }

    /// Adds the threads' gradients of the tensors behind the sums to the others, or puts them there.
    pub(crate) fn add_vector_gradients(&self, lanes: &[ThreadResult], starts: bool, gradients: &mut [f32]) {
        for layer in &self.layers {
            let mut from = layer.vector_gradient_offset;
            for tensor in layer.per_neuron_tensors() {
                let len = tensor.spec.len();
                let into = &mut gradients[tensor.offset..][..len];
                if starts {
                    into.fill(0.0);
                }
                for lane in lanes {
                    let sums = &lane.vector_gradients[from..][..len];
                    into.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
                }
                from += len;
            }
        }
    }

    fn apply_to_range(
        &self,
        part: &ParameterRange,
        source: GradientSource<'_>,
        purpose: GradientUse<'_>,
        flat: ParameterSlices<'_>,
    ) {
        let ParameterSlices { parameters, gradients, state } = flat;
        let keep = if matches!(purpose, GradientUse::Store { overwrites: false }) { 1.0 } else { 0.0 };
        match (source, purpose) {
            (GradientSource::Rows(rows), GradientUse::Update(step))
                if self.is_plain_rule && self.optimizer.rule == UpdateRule::Sgd =>
            {
                // The textbook's product goes straight into the parameters.
                return self.add_gradient(part, rows, parameters, 1.0, -step.coefficients.learning_rate);
            }
            (GradientSource::ThreadSums([lane]), GradientUse::Update(step)) if self.is_plain_rule => {
                let sums = &lane.gradients[part.offset..];
                return self.arch.dispatch(Loops(
                    #[inline(always)]
                    |_| apply_rule(self.optimizer.rule, |_| step.coefficients, parameters, sums, state),
                ));
            }
            (GradientSource::Rows(rows), _) => self.add_gradient(part, rows, gradients, keep, 1.0),
            (GradientSource::ThreadSums(lanes), _) => self.arch.dispatch(Loops(
                #[inline(always)]
                |_| {
                    if keep == 0.0 {
                        gradients.fill(0.0);
                    }
                    for lane in lanes {
                        let sums = &lane.gradients[part.offset..];
                        gradients.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
                    }
                },
            )),
            (GradientSource::Full(factor), _) => gradients.iter_mut().for_each(|g| *g *= factor),
        }
        let GradientUse::Update(step) = purpose else { return };
        let reach = self.penalty_mask.get(part.offset..).unwrap_or_default();
        self.arch.dispatch(Loops(
            #[inline(always)]
            |_| update(&self.optimizer, |_| step.coefficients, parameters, gradients, state, reach),
        ));
    }

    /// By what the gradients, of so many batches, are multiplied: their mean, clipped to the optimizer's norm. Summed
    /// piece by piece, in one order whatever the threads.
    pub(crate) fn clip_factor(&self, gradients: &[f32], batches: u64) -> f32 {
        /// Floats of a piece.
        const PIECE_FLOATS: usize = 64 * 1024;
        let mean = 1.0 / batches as f64;
        let Some(most) = self.optimizer.clip_norm else { return mean as f32 };
        let squares = |piece: &[f32]| piece.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
        let sums: Vec<f64> = if self.threads > 1 {
            gradients.par_chunks(PIECE_FLOATS).map(squares).collect()
        } else {
            gradients.chunks(PIECE_FLOATS).map(squares).collect()
        };
        let length = sums.iter().sum::<f64>().sqrt() * mean;
        (mean * (most / (length + 1e-6)).min(1.0)) as f32
    }
}
