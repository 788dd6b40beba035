//! Predictions: the forward pass without training.

use rayon::prelude::*;

use crate::{
    engine::cpu::batch::{BLOCK_FLOATS, BatchConfig, BatchLayout, passes::NetworkValues},
    nn::{loss::Loss, network::Network},
    optim::optimizer::Optimizer,
};

/// A network with its parameters, for predictions.
pub(crate) struct Predictor {
    layout: BatchLayout,
    parameters: Vec<f32>,
    statistics: Vec<f32>,
}

impl Predictor {
    /// Creates a predictor with flat parameters and flat running statistics.
    pub(crate) fn new(network: &Network, parameters: Vec<f32>, statistics: Vec<f32>) -> Self {
        // The loss and the optimizer do not affect the forward pass.
        let config = BatchConfig {
            loss: Loss::Mse,
            is_multi_label: false,
            optimizer: Optimizer::sgd(0.0),
            batch_size: 1,
            has_sample_weights: false,
            threads: 1,
        };
        Self { layout: BatchLayout::new(network, config), parameters, statistics }
    }

    /// Sets the flat parameters and the flat running statistics.
    pub(crate) fn set_parameters(&mut self, flat: Vec<f32>, statistics: Vec<f32>) {
        (self.parameters, self.statistics) = (flat, statistics);
    }

    /// Returns the outputs, row by row, for any number of rows of inputs.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<f32> {
        let values = NetworkValues { parameters: &self.parameters, statistics: &self.statistics };
        predict(&self.layout, values, inputs)
    }
}

/// Returns the outputs, row by row, for any number of rows of inputs. It distributes blocks of rows over the threads.
pub(crate) fn predict(layout: &BatchLayout, values: NetworkValues<'_>, inputs: &[f32]) -> Vec<f32> {
    let count = inputs.len() / layout.inputs;
    let block_rows = (BLOCK_FLOATS / layout.stride).max(64).min(count);
    let mut outputs = vec![0.0; count * layout.outputs];
    if count > block_rows {
        let inputs = inputs.par_chunks(block_rows * layout.inputs);
        let blocks = outputs.par_chunks_mut(block_rows * layout.outputs).zip(inputs);
        blocks.for_each_init(
            || layout.blank_rows(block_rows),
            |scratch, (outputs, inputs)| layout.predict(values, scratch, inputs, outputs),
        );
    } else if count > 0 {
        layout.predict(values, &mut layout.blank_rows(block_rows), inputs, &mut outputs);
    }
    outputs
}
