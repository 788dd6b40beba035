//! Predictions: the forward pass alone.

use rayon::prelude::*;

use crate::{
    engine::cpu::batch::{BLOCK_FLOATS, BatchLayout},
    nn::{loss::Loss, network::Network},
    optim::optimizer::Optimizer,
};

/// A network that answers.
pub(crate) struct Predictor {
    layout: BatchLayout,
    parameters: Vec<f32>,
    statistics: Vec<f32>,
}

impl Predictor {
    /// `parameters` lie as [`Network::layout`] says, `statistics` as [`Network::statistics`].
    pub(crate) fn new(network: &Network, parameters: Vec<f32>, statistics: Vec<f32>) -> Self {
        // Neither says anything about the way forward.
        Self {
            layout: BatchLayout::new(network, (Loss::Mse, false, Optimizer::sgd(0.0)), (1, false), 1),
            parameters,
            statistics,
        }
    }

    pub(crate) fn set_parameters(&mut self, flat: Vec<f32>, statistics: Vec<f32>) {
        (self.parameters, self.statistics) = (flat, statistics);
    }

    /// The outputs, row by row, for any number of rows of inputs.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<f32> {
        predict(&self.layout, (&self.parameters, &self.statistics), inputs)
    }
}

/// The outputs, row by row, for any number of rows of inputs.
pub(crate) fn predict(shape: &BatchLayout, parameters: (&[f32], &[f32]), inputs: &[f32]) -> Vec<f32> {
    let count = inputs.len() / shape.inputs;
    let block = (BLOCK_FLOATS / shape.stride).max(64).min(count);
    let mut results = vec![0.0; count * shape.outputs];
    if count > block {
        let inputs = inputs.par_chunks(block * shape.inputs);
        let blocks = results.par_chunks_mut(block * shape.outputs).zip(inputs);
        blocks.for_each_init(
            || shape.blank_rows(block),
            |space, (results, inputs)| shape.predict(parameters, space, inputs, results),
        );
    } else if count > 0 {
        shape.predict(parameters, &mut shape.blank_rows(block), inputs, &mut results);
    }
    results
}
