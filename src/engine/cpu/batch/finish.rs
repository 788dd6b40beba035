//! The second half of a step: the gradients, and what becomes of them.

use rayon::prelude::*;

use crate::{
    engine::{
        cpu::{
            batch::{Part, Shape},
            gemm::{Matrix, multiply},
            layer::Lane,
            update::{follow, update},
        },
        step::Step,
    },
    nn::layout::Place,
    optim::update_rule::Rule,
    util::math::Loops,
};

/// From what the gradients are made: from the rows of the batch, or from the threads' sums; or they are whole already, and
/// multiplied by a number.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Rows(&'a [f32]),
    Sums(&'a [Lane]),
    Whole(f32),
}

/// What becomes of the gradients.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    Update(&'a Step),
    /// They are kept, in place of those that were or added to them.
    Keep {
        starts: bool,
    },
}

/// What belongs to some parts of the parameters.
pub(crate) struct Flat<'a> {
    pub(crate) parameters: &'a mut [f32],
    pub(crate) gradients: &'a mut [f32],
    pub(crate) state: &'a mut [f32],
}

impl Shape {
    /// `into = keep * into + scale [x 1]^T delta`, for a part of the parameters.
    pub(crate) fn gradient(&self, part: &Part, rows: &[f32], into: &mut [f32], keep: f32, scale: f32) {
        let (layer, count) = (&self.layers[part.layer], rows.len() / self.stride);
        let Place { outputs, stride, .. } = layer.place;
        let x = &rows[layer.from + part.rows.start..];
        let x = Matrix::new(x, count, part.rows.len(), self.stride);
        let delta = Matrix::new(&rows[layer.delta..], count, outputs, self.stride);
        multiply(x.transposed(), delta, into, stride, keep, scale);
    }

    /// The gradients of `parts`, and what becomes of them; `flat` begins at the first part.
    pub(crate) fn finish(&self, parts: &[Part], source: Source<'_>, purpose: Purpose<'_>, flat: Flat<'_>) {
        if let [part] = parts {
            return self.finish_part(part, source, purpose, flat);
        }
        let (left, right) = parts.split_at(parts.len() / 2);
        let middle = right[0].offset - left[0].offset;
        let (parameters, next_parameters) = flat.parameters.split_at_mut(middle);
        let (gradients, next_gradients) = flat.gradients.split_at_mut(middle);
        let (state, next_state) = flat.state.split_at_mut(middle * self.optimizer.planes());
        let flat = Flat { parameters, gradients, state };
        let next = Flat { parameters: next_parameters, gradients: next_gradients, state: next_state };
        if self.threads > 1 {
            rayon::join(|| self.finish(left, source, purpose, flat), || self.finish(right, source, purpose, next));
        } else {
            self.finish(left, source, purpose, flat);
            self.finish(right, source, purpose, next);
        }
    }

    /// Adds the threads' gradients of the tensors behind the sums to the others, or puts them there.
    pub(crate) fn add_vectors(&self, lanes: &[Lane], starts: bool, gradients: &mut [f32]) {
        for layer in &self.layers {
            let mut from = layer.sums_from;
            for tensor in layer.behind_the_sum() {
                let len = tensor.spec.len();
                let into = &mut gradients[tensor.offset..][..len];
                if starts {
                    into.fill(0.0);
                }
                for lane in lanes {
                    let sums = &lane.vectors[from..][..len];
                    into.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
                }
                from += len;
            }
        }
    }

    fn finish_part(&self, part: &Part, source: Source<'_>, purpose: Purpose<'_>, flat: Flat<'_>) {
        let Flat { parameters, gradients, state } = flat;
        let keep = if matches!(purpose, Purpose::Keep { starts: false }) { 1.0 } else { 0.0 };
        match (source, purpose) {
            (Source::Rows(rows), Purpose::Update(step)) if self.only_follows && self.optimizer.rule == Rule::Sgd => {
                // The textbook's product goes straight into the parameters.
                return self.gradient(part, rows, parameters, 1.0, -step.numbers.learning_rate);
            }
            (Source::Sums([lane]), Purpose::Update(step)) if self.only_follows => {
                let sums = &lane.sums[part.offset..];
                return self.arch.dispatch(Loops(
                    #[inline(always)]
                    |_| follow(self.optimizer.rule, |_| step.numbers, parameters, sums, state),
                ));
            }
            (Source::Rows(rows), _) => self.gradient(part, rows, gradients, keep, 1.0),
            (Source::Sums(lanes), _) => self.arch.dispatch(Loops(
                #[inline(always)]
                |_| {
                    if keep == 0.0 {
                        gradients.fill(0.0);
                    }
                    for lane in lanes {
                        let sums = &lane.sums[part.offset..];
                        gradients.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
                    }
                },
            )),
            (Source::Whole(factor), _) => gradients.iter_mut().for_each(|g| *g *= factor),
        }
        let Purpose::Update(step) = purpose else { return };
        let reach = self.reach.get(part.offset..).unwrap_or_default();
        self.arch.dispatch(Loops(
            #[inline(always)]
            |_| update(&self.optimizer, |_| step.numbers, parameters, gradients, state, reach),
        ));
    }

    /// By what the gradients, of so many batches, are multiplied: their mean, clipped to the optimizer's norm. Summed
    /// piece by piece, in one order whatever the threads.
    pub(crate) fn clipping(&self, gradients: &[f32], batches: u64) -> f32 {
        /// Floats of a piece.
        const PIECE: usize = 64 * 1024;
        let mean = 1.0 / batches as f64;
        let Some(most) = self.optimizer.clip_norm else { return mean as f32 };
        let squares = |piece: &[f32]| piece.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
        let sums: Vec<f64> = if self.threads > 1 {
            gradients.par_chunks(PIECE).map(squares).collect()
        } else {
            gradients.chunks(PIECE).map(squares).collect()
        };
        let length = sums.iter().sum::<f64>().sqrt() * mean;
        (mean * (most / (length + 1e-6)).min(1.0)) as f32
    }
}
